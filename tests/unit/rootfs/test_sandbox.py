"""Which sandbox is chosen: one that is missing, does not work or hangs is skipped, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.processes import is_running, unique_sleep, wait_until

from lamina.errors import ScriptError
from lamina.rootfs import sandbox
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.tree import Tree

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has these sandboxes")


def test_without_a_sandbox_scripts_are_refused_and_the_error_names_each_attempt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(path: str) -> str:
        return "not here"

    monkeypatch.setattr(sandbox, "CANDIDATES", dict.fromkeys(("one", "two"), missing))
    with pytest.raises(
        ScriptError, match=r"got no sandbox \(one: not here; two: not here\), expected a sandbox"
    ) as caught:
        run_scripts(Tree(), Scripts("echo x > made", search_path=PATH))
    assert "--no-sandbox" in caught.value.hint
    assert run_scripts(Tree(), Scripts("echo x > made", search_path=PATH, confined=False)).tree.node(b"made")


def test_a_sandbox_that_does_not_work_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox, "CANDIDATES", {"bubblewrap": sandbox.CANDIDATES["bubblewrap"]})
    with pytest.raises(ScriptError, match=r"\(bubblewrap: bwrap: No permissions to create new namespace\)"):
        run_scripts(Tree(), Scripts("true", search_path=f"{tmp_path}:{PATH}"))


HANGING = """#!/bin/sh
if [ "$1" = --help ] && [ {hangs} != help ]; then exit; fi
setsid {sleep} &
trap '' TERM
{sleep}
{sleep}
"""


@pytest.mark.parametrize("hangs", ["help", "probe"])
def test_a_bubblewrap_that_hangs_is_skipped_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hangs: str
) -> None:
    sleep = write_hanging(tmp_path / "bwrap", hangs)
    monkeypatch.setattr(sandbox, "_PROBE_SECONDS", 0.5)
    monkeypatch.setattr(sandbox, "CANDIDATES", {"bubblewrap": sandbox.CANDIDATES["bubblewrap"]})
    with pytest.raises(ScriptError, match=r"\(bubblewrap: no end within 0\.5 s\)"):
        run_scripts(Tree(), Scripts("true", search_path=f"{tmp_path}:{PATH}"))
    assert not is_running(sleep)


_PROBED = """
import sys
from lamina.cli.exits import run_to_exit_code
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.tree import Tree
sys.exit(run_to_exit_code(lambda: run_scripts(Tree(), Scripts("true", search_path=sys.argv[1]))))
"""


@pytest.mark.parametrize("hangs", ["help", "probe"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_of_a_probe_remains_when_lamina_is_interrupted(
    tmp_path: Path, hangs: str, number: signal.Signals
) -> None:
    sleep = write_hanging(tmp_path / "bwrap", hangs)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", _PROBED, f"{tmp_path}:{PATH}"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as lamina:
        wait_until(lambda: is_running(sleep))
        lamina.send_signal(number)
        lamina.communicate(timeout=120)
    assert lamina.returncode == 128 + number
    assert not is_running(sleep)
    assert [path.name for path in tmp_path.iterdir()] == ["bwrap"]


def write_hanging(program: Path, hangs: str) -> str:
    """Write a bubblewrap that does not end when it is asked for ``help``, or in the ``probe``; return its command."""
    sleep = unique_sleep()
    program.write_text(HANGING.format(hangs=hangs, sleep=sleep))
    program.chmod(0o755)
    return sleep
