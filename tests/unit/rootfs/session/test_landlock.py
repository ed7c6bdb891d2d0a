"""Landlock in a process of its own: what may be read and written afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest

from lamina.rootfs.session import landlock, linux

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has Landlock")


def test_the_version_is_that_of_the_kernel() -> None:
    assert landlock.get_abi_version() >= 0


def test_a_failed_system_call_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="prctl"):
        linux.prctl(-1)
    assert linux.check_result(5, "call") == 5


_CONFINED = """
import sys
from lamina.rootfs.session import landlock
from lamina.rootfs.session.linux import libc, check_result, drop_capabilities, set_no_new_privs
writable, readable, hidden = sys.argv[1:]
set_no_new_privs()
ruleset = landlock._create_ruleset(landlock.get_abi_version())
landlock._allow(ruleset, readable, landlock._READ)
landlock._allow(ruleset, writable, landlock._all_file_rights(landlock.get_abi_version()))
landlock._allow(ruleset, "/nothing there", landlock._READ)
landlock._syscall(landlock._RESTRICT_SELF, ruleset, 0)
def attempt(file, mode):
    try:
        open(file, mode).close()
    except PermissionError:
        return "refused"
    return "allowed"
print(attempt(f"{writable}/new", "w"), attempt(f"{readable}/file", "r"), attempt(f"{readable}/file", "a"),
    attempt(f"{hidden}/file", "r"))
"""


@pytest.mark.skipif(landlock.get_abi_version() < landlock.MIN_ABI_VERSION, reason="this kernel has no Landlock")
def test_only_what_is_allowed_can_be_read_and_written(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("writable", "readable", "hidden")]
    for folder in folders:
        folder.mkdir()
        (folder / "file").write_text("x")
    command = [sys.executable, "-c", _CONFINED, *map(str, folders)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["allowed", "allowed", "refused", "refused"], ran.stderr
