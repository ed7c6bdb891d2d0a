"""Extra commands: scripts start in the same state every time, and the returned tree has everything they leave."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.examples import mark_rest
from tests.support.factories import packed_bytes
from tests.support.fake_nix_store import as_nobody, public_folder
from tests.support.processes import is_running, unique_sleep, wait_until

from lamina.core.nodes import Directory, Regular, Symlink
from lamina.errors import FormatError, InvalidArgument, OutputError, ScriptError
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.scripts import ScriptResult, Scripts, run_scripts
from lamina.rootfs.tree import Meta, Tree
from lamina.system import tempdir

PATH = os.environ.get("PATH", os.defpath)

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")


@pytest.fixture(autouse=True)
def workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary folders, which must be empty again after the test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def made(script: str, tree: Tree | None = None) -> dict[str, tuple[str, int]]:
    """Run a script; return the type and mode of each node that it leaves."""
    ran = run_scripts(tree or Tree(), Scripts(script, search_path=PATH))
    return {"/" + os.fsdecode(node.path): (type(node).__name__, meta.mode) for node, meta in ran.tree}


def printed(script: str) -> str:
    return run_scripts(Tree(), Scripts(script, search_path=PATH)).output


def failure(script: str) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        run_scripts(Tree(), Scripts(script, search_path=PATH))
    assert caught.value.exit_code == 9
    return caught.value


# The returned tree


def test_files_that_a_script_creates_are_in_the_tree() -> None:
    script = """
    mkdir -p tmp var/lib
    chmod 1777 tmp
    echo hello > etc; chmod 4755 etc
    ln -s /nix/store/x link
    ln etc hard
    : > empty
    """
    assert made(script) == {
        "/": ("Directory", 0o755),
        "/empty": ("Regular", 0o644),
        "/etc": ("Regular", 0o4755),
        "/hard": ("Regular", 0o4755),
        "/link": ("Symlink", 0o777),
        "/tmp": ("Directory", 0o1777),
        "/var": ("Directory", 0o755),
        "/var/lib": ("Directory", 0o755),
    }


def test_a_script_sees_the_given_tree_and_may_change_all_of_it() -> None:
    tree = Tree()
    tree.put(Directory(b"bin"), Meta(0o755))
    tree.put(Symlink(b"bin/sh", b"/nix/store/x"), Meta(0o777))
    tree.put(Symlink(b"bin/\xff", b"\xfe"), Meta(0o777))
    script = '[ "$(readlink bin/sh)" = /nix/store/x ]; rm bin/sh; mv bin sbin; chmod 700 .'
    assert made(script, tree) == {
        "/": ("Directory", 0o700),
        "/sbin": ("Directory", 0o755),
        "/sbin/\udcff": ("Symlink", 0o777),
    }


def test_everything_belongs_to_root() -> None:
    ran = run_scripts(Tree(), Scripts("mkdir a; echo > a/b", search_path=PATH))
    assert {(meta.uid, meta.gid) for _, meta in ran.tree} == {(0, 0)}


def test_the_bytes_of_files_are_readable_while_the_tree_exists() -> None:
    ran = run_scripts(Tree(), Scripts("echo hello > x", search_path=PATH))
    node = ran.tree.node(b"x")
    assert isinstance(node, Regular)
    assert b"hello\n" in packed_bytes(RootLayer(ran.tree, ran.workspace).pack())


@pytest.mark.parametrize(
    ("script", "kind"),
    mark_rest(
        [
            ("mkfifo x", "a named pipe"),
            (f"{sys.executable} -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"x\")'", "a socket"),
        ],
        1,
    ),
)
def test_a_device_socket_or_pipe_is_a_format_error(script: str, kind: str) -> None:
    with pytest.raises(FormatError, match=rf"x: got {kind}, expected a file, a folder or a symlink"):
        run_scripts(Tree(), Scripts(script, search_path=PATH))


@pytest.mark.parametrize(
    "script", mark_rest(['rm -r "$PWD"', "cd ..; mv root elsewhere; : > root", "cd ..; mv root r; ln -s r root"], 1)
)
def test_a_script_that_removes_the_root_fails(script: str) -> None:
    assert "expected the folder in which the script started" in str(failure(script))


# How it starts


def test_the_environment_does_not_depend_on_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    monkeypatch.setenv("BASH_ENV", "/no/such")
    monkeypatch.setenv("BASH_FUNC_ls%%", "() { echo leaked; }")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("HOME", "/root")
    names = {line.partition("=")[0] for line in printed("env").splitlines()}
    assert names <= {"PATH", "HOME", "TMPDIR", "LC_ALL", "TZ", "SOURCE_DATE_EPOCH", "PWD", "OLDPWD", "SHLVL", "_"}
    text = printed('echo "$HOME $LC_ALL $TZ $SOURCE_DATE_EPOCH $#"; type -t ls; date +%Z')
    assert text == "/homeless-shelter C UTC 315532800 0\nfile\nUTC\n"


def test_programs_are_found_on_the_given_path(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho mine\n")
    tool.chmod(0o755)
    assert run_scripts(Tree(), Scripts("tool", search_path=f"{tmp_path}:{PATH}")).output == "mine\n"
    assert "command not found" in failure("tool").output


def test_without_bash_there_is_an_error_with_a_hint(tmp_path: Path) -> None:
    for path in (str(tmp_path), "", "/dev/null"):
        with pytest.raises(ScriptError, match="extra commands: got no bash on PATH, expected one") as caught:
            run_scripts(Tree(), Scripts("true", search_path=path))
        assert caught.value.hint == "install bash"


@pytest.mark.parametrize("umask", mark_rest([0o000, 0o077, 0o777], 1))
def test_modes_do_not_depend_on_the_callers_umask(umask: int) -> None:
    tree = Tree()
    tree.put(Directory(b"there"), Meta(0o755))
    old = os.umask(umask)
    try:
        found = made("umask; mkdir made; : > file", tree)
    finally:
        os.umask(old)
    modes = {"/": 0o755, "/there": 0o755, "/made": 0o755, "/file": 0o644}
    assert {path: mode for path, (_, mode) in found.items()} == modes


def test_a_script_reads_no_input_and_has_no_descriptor_of_ours() -> None:
    inlet, outlet = os.pipe()
    os.set_inheritable(outlet, True)
    try:
        assert printed("cat; ls /proc/self/fd || echo 0 1 2 3").split() == ["0", "1", "2", "3"]
    finally:
        os.close(inlet)
        os.close(outlet)


def test_a_broken_pipe_ends_a_program_as_in_a_shell() -> None:
    assert "141" in printed("(yes || echo $? >&2) | head -n 1")


@pytest.mark.parametrize(
    "script",
    mark_rest(
        ["cd /\n" + "# padding\n" * 40_000 + "echo done", "echo 'ä☃' >/dev/null; echo done", "echo done # \udcff"], 1
    ),
)
def test_a_script_may_be_long_and_of_any_bytes(script: str) -> None:
    assert printed(script) == "done\n"


def test_a_script_that_is_empty_changes_nothing() -> None:
    assert made("\n") == {"/": ("Directory", 0o755)}


# How it ends


@pytest.mark.parametrize(
    ("script", "status"),
    mark_rest(
        [
            ("exit 3", 3),
            ("false; exit 0", 1),
            ("false | true", 1),
            ("no-such-command", 127),
            ("x=$(false); exit 0", 1),
            ("if then", 2),
        ],
        2,
    ),
)
def test_a_script_that_fails_anywhere_fails(script: str, status: int) -> None:
    assert str(failure(script)) == f"extra commands: got exit status {status}, expected 0"


def test_a_script_that_is_killed_fails() -> None:
    assert str(failure("kill -TERM $$; sleep 5")) == "extra commands: got signal 15, expected 0"
    assert str(failure("kill -KILL $$")) == "extra commands: got signal 9, expected 0"


def test_a_script_that_contains_a_nul_is_run() -> None:
    with pytest.raises((ScriptError, InvalidArgument)):
        run_scripts(Tree(), Scripts("echo\0hello; exit 1", search_path=PATH))


def test_the_output_of_a_failed_script_is_kept_in_its_order() -> None:
    output = failure("echo one; echo two >&2; printf '\\377'; exit 1").output
    assert output == "one\ntwo\n\ufffd"


def test_only_the_end_of_a_long_output_is_kept() -> None:
    output = failure("seq 100000; exit 1").output
    assert output.endswith("\n99999\n100000\n")
    assert len(output) == 1 << 16


def test_the_output_of_a_successful_script_is_returned() -> None:
    assert printed("echo hi; echo there >&2") == "hi\nthere\n"


def test_processes_that_a_script_leaves_running_are_ended() -> None:
    sleep = unique_sleep()
    ran = run_scripts(Tree(), Scripts(f"(trap '' HUP TERM; {sleep}; {sleep}) & echo > x", search_path=PATH))
    assert ran.tree.node(b"x")
    wait_until(lambda: not is_running(sleep))


def test_a_process_that_holds_the_output_is_not_waited_for() -> None:
    began = time.monotonic()
    assert printed("sleep 600 & disown; echo hi") == "hi\n"
    assert time.monotonic() - began < 120


# The workspace


def test_the_workspace_exists_exactly_as_long_as_the_tree(workspaces: Path) -> None:
    closed = "chmod 0 a/b a" if os.geteuid() == 0 else "chmod 0500 a/b a"
    ran: ScriptResult | None = run_scripts(Tree(), Scripts(f"mkdir -p a/b; : > a/b/c; {closed}", search_path=PATH))
    assert len(list(workspaces.iterdir())) == 1
    assert ran
    layer: RootLayer | None = RootLayer(ran.tree, ran.workspace)
    ran = None
    gc.collect()
    assert len(list(workspaces.iterdir())) == 1
    assert layer
    layer = None
    gc.collect()
    assert list(workspaces.iterdir()) == []


def test_the_workspace_is_removed_if_the_script_fails(workspaces: Path) -> None:
    failure("mkdir x; : > x/y; exit 1")
    gc.collect()
    assert list(workspaces.iterdir()) == []


def test_symlinks_out_of_the_workspace_are_not_followed_when_it_is_removed(workspaces: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o750)
    (kept / "file").touch()
    made(f"ln -s {kept} link; ln -s {kept} ../link; mkdir x; ln -s {kept} x/link")
    gc.collect()
    assert list(workspaces.iterdir()) == []
    assert (kept / "file").exists()
    assert kept.stat().st_mode & 0o777 == 0o750


_INTERRUPTED = """
import os, sys
from lamina.cli.exits import run_to_exit_code
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.tree import Tree
sys.exit(run_to_exit_code(lambda: run_scripts(Tree(), Scripts(sys.argv[1], search_path=os.environ["PATH"]))))
"""


@pytest.mark.parametrize(("number", "code"), mark_rest([(signal.SIGINT, 130), (signal.SIGTERM, 143)], 1))
def test_an_interrupted_script_is_ended_with_all_its_processes_and_its_workspace_is_removed(
    workspaces: Path, number: signal.Signals, code: int
) -> None:
    sleep = unique_sleep()
    script = f"(trap '' INT TERM; {sleep}; {sleep}) & echo > begun; {sleep}"
    environment = {**os.environ, "TMPDIR": str(workspaces)}
    with subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, script], env=environment, stderr=subprocess.PIPE
    ) as lamina:
        wait_until(lambda: any(workspaces.glob("*/build/root/begun")))
        assert len(list(workspaces.iterdir())) == 1
        lamina.send_signal(number)
        _, stderr = lamina.communicate(timeout=120)
    assert lamina.returncode == code
    assert b"Traceback" not in stderr
    assert list(workspaces.iterdir()) == []
    wait_until(lambda: not is_running(sleep))


def test_a_temporary_folder_that_cannot_be_written_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(
        OutputError, match=r"missing.*: got No such file or directory, expected to write the root there"
    ):
        run_scripts(Tree(), Scripts("true", search_path=PATH))


def test_no_temporary_folder_at_all_is_an_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempdir, "_DEFAULT_FOLDERS", ())
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null", "/no/such"])
    with pytest.raises(OutputError, match=r"got No usable temporary directory found.*, expected") as caught:
        run_scripts(Tree(), Scripts("true", search_path=PATH))
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as path:
        yield path


def test_a_temporary_folder_that_another_user_owns_is_an_output_error(folder: Path) -> None:
    def unwritable() -> None:
        tempfile.tempdir = str(folder)
        run_scripts(Tree(), Scripts("true", search_path=PATH))

    if os.geteuid() != 0:
        folder.chmod(0o555)
    with pytest.raises(OutputError, match=rf"{folder}.*: got Permission denied, expected to write the root there"):
        as_nobody(unwritable)
