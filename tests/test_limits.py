"""Scripts on a machine that has too little of something: an error that names it, never a bug."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fakestore import in_mount_namespace

from lamina.errors import OutputError
from lamina.root import limits

PROGRAM = """
import os, sys
from lamina.cli.ending import ending
from lamina.root.commands import Scripts, run
from lamina.root.tree import Tree
sys.exit(ending(lambda: run(Tree(), Scripts(sys.argv[1], search_path=os.environ["PATH"]))))
"""


@pytest.mark.parametrize("limit", [6, 10, 16, 31, 32, 40, 64])
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
    [
        ("16k", "true", 10),
        ("1m", "head -c 4M /dev/zero > big || true", 0),
        ("1m", "head -c 4M /dev/zero > big", 9),
        ("1m", "head -c 4M /dev/zero > big || true; kill -KILL $PPID; sleep 288", 10),
        ("1m", "head -c 4M /dev/zero > $TMPDIR/big || true; echo x > made", 9),
    ],
)
def test_a_full_temporary_folder_is_named(tmp_path: Path, size: str, script: str, code: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = f'mount -t tmpfs -o size={size} none "$1" && export TMPDIR="$1" && shift && exec "$@"'
    ended = in_mount_namespace(mounted, [folder, sys.executable, "-c", PROGRAM, script])
    said = ended.stderr.decode()
    assert ended.returncode == code, said
    if code:
        assert "No space left on device" in said or f"{folder} is full" in said
        assert "TMPDIR" in said


@pytest.mark.parametrize("number", [None, 2, "28"])
def test_other_errors_are_no_shortage(number: object) -> None:
    assert limits.failure("scripts", number) is None


def test_a_shortage_says_what_helps() -> None:
    error = limits.failure("extra commands", 24)
    assert isinstance(error, OutputError)
    assert str(error) == "extra commands: got Too many open files, expected room to run them"
    assert "ulimit -n" in error.hint
