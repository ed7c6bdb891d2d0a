"""Scripts on a machine with a shortage: an error names it, and nothing crashes."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import in_child, in_mount_namespace, public_folder

from lamina.errors import OutputError, ScriptError
from lamina.rootfs import resource_limits, session
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.session import landlock
from lamina.rootfs.tree import Tree

PROGRAM = """
import os, sys
from lamina.cli.exits import run_to_exit_code
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.session import landlock
from lamina.rootfs.tree import Tree
sys.exit(run_to_exit_code(lambda: run_scripts(Tree(), Scripts(sys.argv[1], search_path=os.environ["PATH"]))))
"""


@pytest.mark.parametrize("limit", mark_rest([6, 10, 16, 31, 32, 40, 64], 2))
def test_few_descriptors_are_a_named_error(limit: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "echo x > made"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        assert ended.returncode == 10
        assert "open files" in ended.stderr
        assert "ulimit -n" in ended.stderr
    assert ended.returncode == 0 or limit < 64


@pytest.mark.parametrize(
    ("size", "script", "code"),
    mark_rest(
        [
            ("16k", "true", 10),
            ("1m", "head -c 4M /dev/zero > big || true", 0),
            ("1m", "head -c 4M /dev/zero > big", 9),
            ("1m", "head -c 4M /dev/zero > big || true; kill -KILL $PPID; sleep 288", 10),
            ("1m", "head -c 4M /dev/zero > $TMPDIR/big || true; echo x > made", 9),
        ],
        1,
    ),
)
def test_a_full_temporary_folder_is_named(tmp_path: Path, size: str, script: str, code: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = f'mount -t tmpfs -o size={size} none "$1" && export TMPDIR="$1" && shift && exec "$@"'
    ended = in_mount_namespace(mounted, [folder, sys.executable, "-c", PROGRAM, script])
    stderr = ended.stderr.decode()
    assert ended.returncode == code, stderr
    if code:
        assert "No space left on device" in stderr or f"{folder} is full" in stderr
        assert "TMPDIR" in stderr


@pytest.mark.parametrize("size", mark_rest(["12k", "16k", "24k", "32k", "48k", "64k"], 1))
def test_the_error_names_the_folder_that_is_full(tmp_path: Path, size: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = f'mount -t tmpfs -o size={size} none "$1" && export TMPDIR="$1" && shift && exec "$@"'
    ended = in_mount_namespace(mounted, [folder, sys.executable, "-c", PROGRAM, "true"])
    stderr = ended.stderr.decode()
    assert ended.returncode == 10
    assert stderr.startswith(f"lamina: {folder}/"), stderr
    assert str(Path(session.__file__).parent) not in stderr


@pytest.mark.parametrize("max_processes", mark_rest([3, 4, 6, 8, 12], 1))
@pytest.mark.parametrize("fake", [False, True])
def test_few_processes_are_a_named_error(max_processes: int, fake: bool) -> None:
    if os.geteuid() != 0 or not Path("/usr/bin/python3").exists():
        pytest.skip("only root can become a user that has no processes")
    landlock.get_abi_version()  # imported now, as that user may be unable to read the modules

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (max_processes, max_processes))
        with contextlib.suppress(OutputError):
            run_scripts(
                Tree(), Scripts("" if fake else "true", "chown 1 ." if fake else "", search_path=os.environ["PATH"])
            )
            assert max_processes > 4, "nothing was too few"

    with public_folder() as folder, pytest.MonkeyPatch.context() as patch:
        folder.chmod(0o777)
        shutil.copytree(Path(session.__file__).parent, folder / "session")
        patch.setattr(session, "__file__", str(folder / "session/__init__.py"))
        patch.setattr(sys, "executable", "/usr/bin/python3")
        patch.setattr(tempfile, "tempdir", str(folder))
        user = 20_000 + 2 * max_processes + fake  # another test's processes must not count
        in_child(limited, lambda: os.setresuid(user, user, user))


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("bash: fork: retry: Resource temporarily unavailable", "ulimit -u"),
        ("sh: 1: Cannot fork", "ulimit -u"),
        ("RuntimeError: can't start new thread", "ulimit -u"),
        ("xz: Cannot allocate memory", "more memory"),
        ("sed: couldn't open file: Too many open files", "ulimit -n"),
    ],
)
def test_a_script_that_fails_for_a_shortage_gets_a_hint(output: str, advice: str) -> None:
    script = f'echo "{output}" >&2; exit 254'
    with pytest.raises(ScriptError, match="got exit status 254") as caught:
        run_scripts(Tree(), Scripts(script, search_path=os.environ["PATH"]))
    assert advice in caught.value.hint


@pytest.mark.parametrize("output", ["no such file", "cp: error writing 'x': No space left on device"])
def test_a_script_that_fails_for_another_reason_gets_no_hint(output: str) -> None:
    with pytest.raises(ScriptError) as caught:
        run_scripts(Tree(), Scripts(f'echo "{output}"; exit 1', search_path=os.environ["PATH"]))
    assert caught.value.hint == ""


@pytest.mark.parametrize("number", [None, 2, "28"])
def test_other_errors_are_no_shortage(number: object) -> None:
    assert resource_limits.make_shortage_error("scripts", number) is None


def test_a_shortage_error_has_a_hint() -> None:
    error = resource_limits.make_shortage_error("extra commands", 24)
    assert isinstance(error, OutputError)
    assert str(error) == "extra commands: got Too many open files, expected enough resources to run them"
    assert "ulimit -n" in error.hint
