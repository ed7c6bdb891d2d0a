"""Fakeroot commands under real fakeroot and proot: the owners and modes that a script sets reach the layer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration import tools
from tests.integration.closures import Sample
from tests.support.factories import packed_bytes
from tests.support.fake_nix_store import as_nobody, public_folder
from tests.support.processes import find_pids, has_ended, is_running, unique_sleep, wait_until

from lamina.core.nodes import Symlink
from lamina.errors import FormatError, ScriptError
from lamina.rootfs import session
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.tree import Meta, Tree

PATH = tools.environment()["PATH"]


@pytest.fixture(autouse=True)
def _tools() -> None:
    for name in ("fakeroot", "proot", "bash"):
        tools.require(name)


def run_and_list(script: str, *, extra: str = "", tree: Tree | None = None, chroot: bool = False) -> dict[str, Meta]:
    """Run the scripts and return the mode, owner and extended attributes of each resulting path."""
    ran = run_scripts(tree or Tree(), Scripts(extra, script, chroot, PATH))
    return {"/" + os.fsdecode(node.path): meta for node, meta in ran.tree}


def run_and_print(script: str, *, chroot: bool = False) -> str:
    return run_scripts(Tree(), Scripts("", script, chroot, PATH)).output


def test_owners_and_modes_reach_the_layer(tmp_path: Path) -> None:
    script = "mkdir -p home/alice; chown 1000:100 home/alice; chmod 4711 tool; chown -h 5:6 link; chmod 750 ."
    ran = run_scripts(Tree(), Scripts("echo x > tool; ln -s tool link", script, search_path=PATH))
    (tmp_path / "layer.tar").write_bytes(packed_bytes(RootLayer(ran.tree, ran.workspace).pack()))
    with tarfile.open(tmp_path / "layer.tar") as archive:
        found = {member.name: (member.mode, member.uid, member.gid) for member in archive}
    assert found == {
        ".": (0o750, 0, 0),
        "./home": (0o755, 0, 0),
        "./home/alice": (0o755, 1000, 100),
        "./link": (0o777, 5, 6),
        "./tool": (0o4711, 0, 0),
    }


@pytest.mark.parametrize("confined", [True, False])
def test_a_session_without_fakeroots_library_is_refused(monkeypatch: pytest.MonkeyPatch, confined: bool) -> None:
    """ld.so only warns about a library that it cannot preload; the files would then belong to the user in the image."""
    python = shutil.which(
        "python3", path="/usr/local/bin:/usr/bin:/bin"
    )  # a user may be unable to read the interpreter of the checkout
    if not python:
        tools.skip_unusable("python3", "no python3 in /usr/bin")
    with public_folder() as folder:
        folder.chmod(0o777)
        shutil.copytree(Path(session.__file__).parent, folder / "session")
        (folder / "fakeroot").write_text('#!/bin/sh\nshift\nexec "$@"\n')
        (folder / "fakeroot").chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setattr(sys, "executable", python)
        monkeypatch.setattr(session, "__file__", str(folder / "session/__init__.py"))
        scripts = Scripts("", "true", search_path=f"{folder}:/usr/bin:/bin", confined=confined)
        with pytest.raises(ScriptError, match="fakeroot commands: got no result of their session") as caught:
            as_nobody(lambda: run_scripts(Tree(), scripts))
        assert "fakeroot's library: got none, expected it to be loaded" in caught.value.output


def test_extra_commands_run_first_and_their_files_belong_to_root() -> None:
    """dockertools.md 1.5: extraCommands unprivileged, then fakeRootCommands, both in the tree."""
    result = run_and_list('[ "$(stat -c %u:%g made)" = 0:0 ]; mv made kept; chown 7 kept', extra="touch made")
    assert result["/kept"] == Meta(0o644, 7, 0)


@pytest.mark.parametrize("chroot", [False, True])
def test_a_file_capability_set_by_a_script_is_kept(chroot: bool) -> None:
    """In nixpkgs the capability is lost (#463986)."""
    tools.require("setcap")
    result = run_and_list(f"{'cd /;' if chroot else ''} echo x > ping; setcap cap_net_raw+ep ping", chroot=chroot)
    ((name, value),) = result["/ping"].xattrs
    assert name == "security.capability"
    assert value == bytes.fromhex("0100000200200000000000000000000000000000")


def test_with_chroot_the_root_of_the_image_is_the_scripts_root() -> None:
    tree = Tree()
    tree.put(Symlink(b"share/doc", b"/nix/store/x"), Meta(0o777))
    script = """
    [ "$PWD" = / ]
    [ -L /share/doc ]
    mkdir /bin /tmp
    chmod 1777 /tmp
    ln -s /nix/store/x /bin/hello
    echo persistent > /testfile
    chown 12345:12345 /testfile
    mkdir -p /nix/var/nix; chown -R 1000:100 /nix/var
    """
    result = run_and_list(script, tree=tree, chroot=True)
    assert result == {
        "/": Meta(0o755),
        "/bin": Meta(0o755),
        "/bin/hello": Meta(0o777),
        "/nix": Meta(0o755),
        "/nix/var": Meta(0o755, 1000, 100),
        "/nix/var/nix": Meta(0o755, 1000, 100),
        "/share": Meta(0o755),
        "/share/doc": Meta(0o777),
        "/testfile": Meta(0o644, 12345, 12345),
        "/tmp": Meta(0o1777),
    }


def list_store() -> dict[str, tuple[int, int]]:
    """Return what tells each path of the machine's store from one that is made again under its name."""
    found: dict[str, tuple[int, int]] = {}
    with os.scandir("/nix/store") as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                found[entry.name] = status.st_ino, status.st_ctime_ns
    return {name: identity for name, identity in found.items() if not name.startswith(".")}


def test_with_chroot_the_store_is_visible_and_the_machine_stays_unchanged(small: Sample) -> None:
    lasting = {os.path.basename(path) for path in small.paths}
    before = list_store()
    look = f"cd /nix/store; for name in {' '.join(sorted(before))}; do [ -e $name -o -L $name ] || echo $name; done"
    missing = {*run_and_print(look, chroot=True).splitlines()}
    # Nix and other tests add, remove and rebuild paths at the same time, so only those count that stayed the same.
    after = list_store()
    stayed = {name for name in before if before[name] == after.get(name)}
    assert lasting <= stayed
    assert not missing & stayed
    assert run_and_print("mkdir -p /usr/share /etc; touch /usr/share/x /etc/x; echo done", chroot=True) == "done\n"
    assert lasting <= {*os.listdir("/nix/store")}
    assert not os.path.lexists("/usr/share/x")
    assert not os.path.lexists("/etc/x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could change them")
@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize(
    "path",
    ["/nix/store/added", "/lib/x86_64-linux-gnu/added", "/lib64/added", "/proc/added", "/sys/fs/cgroup/added"],
)
def test_with_chroot_the_visible_files_of_the_machine_are_read_only(path: str, confined: bool) -> None:
    """This holds without a sandbox too, and for folders with mounts below them, such as /sys/fs/cgroup."""
    if not os.path.isdir(os.path.dirname(path)):
        pytest.skip(f"no {os.path.dirname(path)} here")
    with pytest.raises(ScriptError) as caught:
        run_scripts(Tree(), Scripts("", f"touch {path}", True, PATH, confined=confined))
    assert re.search("Read-only file system|No such file|not permitted", caught.value.output)
    assert not os.path.lexists(path)


@pytest.mark.parametrize("chroot", [False, True])
def test_a_device_that_exists_only_in_fakeroot_is_refused(chroot: bool) -> None:
    with pytest.raises(FormatError, match=r"/null: got a character device, expected a file, a folder or a symlink"):
        run_and_list("mknod null c 1 3", chroot=chroot)


@pytest.mark.parametrize("chroot", [False, True])
@pytest.mark.parametrize("script", ["false; true", "false | true", "exit 3"])
def test_a_script_that_fails_anywhere_fails(script: str, chroot: bool) -> None:
    with pytest.raises(ScriptError, match=r"fakeroot commands: got exit status [13], expected 0"):
        run_and_list(script, chroot=chroot)


@pytest.mark.parametrize(("missing", "chroot"), [("fakeroot", False), ("proot", True), ("bash", False)])
def test_the_error_names_a_missing_program(tmp_path: Path, missing: str, chroot: bool) -> None:
    for name in {"bash", "fakeroot", "proot"} - {missing}:
        (tmp_path / name).symlink_to(tools.require(name))
    with pytest.raises(ScriptError, match=f"fakeroot commands: got no {missing} on PATH, expected one") as caught:
        run_scripts(Tree(), Scripts("", "true", chroot, str(tmp_path)))
    assert caught.value.hint == f"install {missing}"


@pytest.mark.parametrize("chroot", [False, True])
def test_a_script_that_hangs_is_ended_with_all_its_processes(tmp_path: Path, chroot: bool) -> None:
    before, sleep = find_fakeds(), unique_sleep()
    script = f"(trap '' INT TERM HUP; {sleep}) & {sleep}"
    with pytest.raises(ScriptError, match=r"fakeroot commands: got no end within 0.5 s, expected one"):
        run_scripts(Tree(), Scripts("", script, chroot, PATH, 0.5))
    wait_for_end(find_fakeds() - before)
    wait_until(lambda: not is_running(sleep))


@pytest.mark.parametrize("chroot", [False, True])
@pytest.mark.parametrize("leave", ["{} &", "setsid {} &", "(setsid {} &) &"])
def test_every_process_that_a_script_leaves_behind_is_ended(leave: str, chroot: bool) -> None:
    before, sleep = find_fakeds(), unique_sleep()
    assert run_and_print(f"{leave.format(sleep)}\necho done", chroot=chroot) == "done\n"
    wait_until(lambda: not is_running(sleep))
    wait_for_end(find_fakeds() - before)


def test_every_process_of_a_script_without_fakeroot_is_ended_too() -> None:
    sleep = unique_sleep()
    assert run_scripts(Tree(), Scripts(f"setsid {sleep} &\necho done", search_path=PATH)).output == "done\n"
    wait_until(lambda: not is_running(sleep))
    with pytest.raises(ScriptError, match="got no end within"):
        run_scripts(Tree(), Scripts(f"setsid --wait {sleep}", search_path=PATH, time_limit=0.5))
    wait_until(lambda: not is_running(sleep))


def test_the_exit_status_inside_proot_is_reported() -> None:
    for script, status in (("exit 7", 7), ("kill -KILL $$", 137)):
        with pytest.raises(ScriptError, match=f"fakeroot commands: got exit status {status}, expected 0"):
            run_and_list(script, chroot=True)


def test_a_script_can_use_ids_that_its_user_namespace_lacks(tmp_path: Path) -> None:
    program = (
        "import os; from lamina.rootfs.scripts import Scripts, run_scripts; from lamina.rootfs.tree import Tree; "
        "ran = run_scripts(Tree(), Scripts('', 'touch a; chown 1234:5678 a', search_path=os.environ['PATH'])); "
        "print(ran.tree.meta(b'a'))"
    )
    tools.require("unshare")
    environment = {**os.environ, "PATH": PATH}
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        tools.skip_unusable("unshare", done.stderr)
    assert "uid=1234, gid=5678" in done.stdout, done.stderr


_KILLED = """
import os, sys
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.tree import Tree
run_scripts(Tree(), Scripts("", sys.argv[1], sys.argv[2] == "True", os.environ["PATH"]))
"""


@pytest.mark.parametrize("chroot", [False, True])
def test_every_process_ends_when_lamina_is_killed(tmp_path: Path, chroot: bool) -> None:
    before, sleep = find_fakeds(), unique_sleep()
    environment = {**os.environ, "PATH": PATH, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _KILLED, sleep, str(chroot)], env=environment) as lamina:
        wait_until(lambda: is_running(sleep))
        lamina.kill()
    wait_until(lambda: not is_running(sleep))
    wait_for_end(find_fakeds() - before)


def find_fakeds() -> set[int]:
    """Return the process IDs of the servers of fakeroot, those of other programs too."""
    return set(find_pids(lambda command: "faked" in command.partition(" ")[0]))


def wait_for_end(pids: set[int]) -> None:
    wait_until(lambda: all(map(has_ended, pids)))


def test_the_workspace_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_and_list("mkdir -p a/b; chmod 0 a", chroot=True)
    assert tools.poll_until(lambda: not list(tmp_path.iterdir()), 5)


def test_a_script_sees_the_same_environment_in_every_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    for chroot in (False, True):
        text = run_and_print('echo "$HOME $LC_ALL $TZ $SOURCE_DATE_EPOCH $(id -u) ${SECRET-no}"; umask', chroot=chroot)
        assert text == "/homeless-shelter C UTC 315532800 0 no\n0022\n"
        assert run_and_print('echo x > "$TMPDIR/x"; cat "$TMPDIR/x"', chroot=chroot) == "x\n"


def test_programs_of_the_store_run_in_the_chroot(small: object) -> None:
    busybox = next(Path("/nix/store").glob("*-busybox-static/bin/busybox"), None)
    assert busybox
    assert run_and_print(f"{busybox} echo inside", chroot=True) == "inside\n"


def test_missing_folders_on_path_are_ignored(tmp_path: Path) -> None:
    path = f"/no/such:{tmp_path}:{PATH}"
    assert run_scripts(Tree(), Scripts("", "echo hi", True, path)).output == "hi\n"
