"""Scripts that try to escape from each sandbox; every attack targets a folder, process or port of the test."""

from __future__ import annotations

import gc
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pytest
from tests.integration import tools
from tests.support.factories import packed_bytes
from tests.support.fake_nix_store import as_nobody, public_folder
from tests.support.processes import has_ended, is_running, unique_sleep, wait_until

from lamina.core.nodes import Directory, Regular
from lamina.errors import ScriptError
from lamina.rootfs import bind_mounts, sandbox, session
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.session import landlock
from lamina.rootfs.tree import Meta, Tree

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
KINDS = ("bubblewrap", "namespaces", "Landlock")
# The sandboxes with separate processes, mounts and root.
ISOLATED = ("bubblewrap", "namespaces")
# cap_net_raw+ep, as the kernel keeps it (linux/capability.h, struct vfs_cap_data).
CAPABILITY = ("security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has these sandboxes")


T = TypeVar("T")


@dataclass(frozen=True)
class Builder:
    """Runs scripts as root or as an ordinary user, in one kind of sandbox."""

    kind: str
    is_nobody: bool

    def output(self, script: str, *, fake: bool = False, chroot: bool = False) -> str:
        """Run the script, which continues after errors; return its output."""
        text = f"set +e\n{script}\ntrue"
        scripts = Scripts("" if fake else text, text if fake else "", chroot, PATH)
        return self.call(lambda: run_scripts(Tree(), scripts).output)

    def digest(self, extra: str, fake: str) -> str:
        """Return the digest of the layer that the scripts leave."""

        def layer() -> str:
            result = run_scripts(Tree(), Scripts(extra, fake, False, PATH, confined=self.kind != "none"))
            return sha256(packed_bytes(RootLayer(result.tree, result.workspace).pack())).hexdigest()

        return self.call(layer)

    def failure(self, scripts: Scripts) -> ScriptError:
        """Return the error that the scripts end with."""

        def failing() -> ScriptError:
            try:
                run_scripts(Tree(), scripts)
            except ScriptError as error:
                found = ScriptError(str(error), hint=error.hint, output=error.output)
            gc.collect()  # the error's frames held the workspace
            return found

        return self.call(failing)

    def call(self, function: Callable[[], T]) -> T:
        """Call ``function`` as this builder's user and return its result."""
        return as_nobody(function) if self.is_nobody else function()


@pytest.fixture
def builder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builder]:
    """A builder of the kind and user that the test asks for, whose temporary folder everybody can reach."""
    kind, user = request.param
    if user == "nobody" and os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    if kind == "bubblewrap":
        tools.require("bwrap")
    if kind == "Landlock" and landlock.get_abi_version() < landlock.MIN_ABI_VERSION:
        pytest.skip("this kernel has no Landlock")
    if kind != "none":
        monkeypatch.setattr(sandbox, "CANDIDATES", {kind: sandbox.CANDIDATES[kind]})
    with public_folder() as folder:
        # Another user may be unable to read the checkout and its Python.
        shutil.copytree(Path(session.__file__).parent, folder / "session", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        monkeypatch.setattr(session, "__file__", str(folder / "session/__init__.py"))
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        if python := shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin"):
            monkeypatch.setattr(sys, "executable", python)
        yield Builder(kind, user == "nobody")
        assert not list((folder / "tmp").iterdir()), "the workspace stayed"


def builders(*kinds: str, users: tuple[str, ...] = ("root", "nobody")) -> pytest.MarkDecorator:
    pairs = [(kind, user) for kind in kinds for user in users]
    return pytest.mark.parametrize("builder", pairs, indirect=True, ids="-".join)


@pytest.fixture
def victim() -> Iterator[Path]:
    """A folder that every user may change, with a file in it: scripts must do neither."""
    with public_folder() as folder:
        path = folder / "victim"
        path.mkdir()
        path.chmod(0o777)
        (path / "file").write_text("kept")
        (path / "file").chmod(0o666)
        yield path
        assert [file.name for file in path.iterdir()] == ["file"]
        assert (path / "file").read_text() == "kept"


@builders(*KINDS)
def test_nothing_outside_can_be_written_to(builder: Builder, victim: Path) -> None:
    builder.output(f"""
    echo x > {victim}/added; echo x >> {victim}/file; : > {victim}/file; truncate -s 0 {victim}/file
    rm -f {victim}/file; mv {victim}/file .; ln {victim}/file here; mkdir {victim}/made; cp -r . {victim}/copy
    ln -s {victim} link; echo x > link/added; echo x > ./../../../../../../..{victim}/added
    exec 7<> {victim}/file && echo x >&7
    """)


@builders(*KINDS)
def test_mounts_cannot_be_changed(builder: Builder, victim: Path) -> None:
    tries = f"""
    for flags in remount,rw remount,bind,rw; do
      for place in / /usr /etc/passwd /proc /proc/sys /tmp; do mount -o $flags $place; mount -o $flags none $place; done
    done
    mkdir -p mnt; mount -t tmpfs none mnt && echo mounted; mount --bind /usr mnt && echo mounted
    umount /usr && echo unmounted; umount -l / && echo unmounted; umount /proc/sys && echo unmounted
    touch /usr/added && echo written; touch /bin/added && echo written
    unshare -Urm sh -c 'mount -o remount,bind,rw /usr; mount -o remount,rw /; touch /usr/added; echo > {victim}/added'
    unshare -m true && echo namespace
    """
    # This runs without fakeroot, which pretends that some calls succeed although they change nothing.
    output = builder.output(tries).splitlines()
    assert not {"mounted", "unmounted", "written", "namespace"} & set(output)


@builders(*ISOLATED)
def test_no_further_user_namespaces_can_be_made(builder: Builder) -> None:
    assert "inside" not in builder.output("unshare -U echo inside; unshare -Ur echo inside").splitlines()


@builders(*KINDS)
def test_nothing_outside_is_reached_through_proc(builder: Builder, victim: Path) -> None:
    with subprocess.Popen(["sleep", "294"], cwd=victim, user=65534 if builder.is_nobody else None) as outside:
        output = builder.output(f"""
        for process in /proc/[0-9]* /proc/{outside.pid} /proc/self /proc/$PPID; do
          for file in $process/cwd/added $process/root{victim}/added $process/cwd/file $process/root{victim}/file; do
            echo x > $file
            cat $file
          done 2>/dev/null
          echo x > $process/mem && echo written
        done
        cat /proc/{outside.pid}/environ | tr '\\0' '\\n' | grep '^PATH='
        kill -STOP {outside.pid} && echo killed; kill -KILL {outside.pid} && echo killed
        """)
        assert outside.poll() is None
        outside.kill()
    assert not {"written", "killed", "kept"} & set(output.split())
    assert "PATH=" not in output


@builders(*KINDS)
def test_kernel_settings_cannot_be_written(builder: Builder) -> None:
    # Opened without writing anything, so that nothing changes where this fails.
    output = builder.output("""
    for file in $(find /proc/sys/kernel /proc/sys/vm /proc/sys/fs -type f) /proc/sysrq-trigger /etc/passwd; do
      (exec 7>> $file) 2>/dev/null && echo writable $file
    done
    """)
    assert "writable" not in output


@builders(*KINDS)
def test_a_script_has_no_capabilities_and_gains_none(builder: Builder) -> None:
    output = builder.output("grep -E '^(Cap...|NoNewPrivs):' /proc/self/status", fake=True)
    values = {name: int(value, 16) for name, value in (line.split(":") for line in output.splitlines())}
    assert values.pop("NoNewPrivs") == 1
    assert set(values.values()) == {0}


@builders(*KINDS)
def test_devices_cannot_be_made_and_chroot_does_not_escape(builder: Builder, victim: Path) -> None:
    output = builder.output(f"""
    mknod disk b 8 0 && echo made; mknod memory c 1 1 && echo made
    chroot / echo entered; chroot / sh -c 'echo x > {victim}/added'
    """)
    assert not {"made", "entered"} & set(output.split())


@builders(*KINDS)
def test_there_is_no_network(builder: Builder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.setblocking(False)
        output = builder.output(f"exec 7<> /dev/tcp/127.0.0.1/{port} && echo connected")
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "connected" not in output.split()


# AF_VSOCK leads out of a virtual machine, AF_ALG into the kernel's ciphers; no namespace confines them.
FAMILIES = """
/usr/bin/python3 - <<'END'
import socket
for family in range(46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
            print(family)
        except OSError:
            pass
END
"""


@builders(*KINDS)
def test_no_socket_leads_past_the_network_namespace(builder: Builder) -> None:
    tools.require("/usr/bin/python3")
    allowed = set() if builder.kind == "Landlock" else {"1", "2", "10", "16"}
    assert set(builder.output(FAMILIES, fake=False).split()) <= allowed


@builders(*KINDS)
def test_a_socket_of_another_program_cannot_be_reached(builder: Builder, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
        named.bind(str(victim / "socket"))
        abstract.bind(f"\0lamina-test-{os.getpid()}")
        (victim / "socket").chmod(0o777)
        for listener in (named, abstract):
            listener.listen()
            listener.setblocking(False)
        names = [str(victim / "socket"), f"\\0lamina-test-{os.getpid()}"]
        tries = "; ".join(
            f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{name}\")'" for name in names
        )
        builder.output(tries)
        for listener in (named, abstract):
            with pytest.raises(BlockingIOError):
                listener.accept()
    (victim / "socket").unlink()


@builders(*KINDS)
def test_files_of_users_and_services_are_not_visible(builder: Builder, victim: Path) -> None:
    output = builder.output(f"cat {victim}/file; cat /etc/shadow; ls -d /home/* /run/* /var/lib/* /sys/*; ls {victim}")
    assert "kept" not in output
    assert not [line for line in output.splitlines() if line.startswith(("/home", "/run", "/var/lib", "/sys"))]


@builders(*ISOLATED)
def test_temporary_folders_and_shared_memory_are_private(builder: Builder) -> None:
    name = f"lamina-test-{os.getpid()}"
    paths = [Path(folder) / name for folder in ("/tmp", "/dev/shm", "/var/tmp")]
    output = builder.output(
        f"echo x > /tmp/{name} && cat /tmp/{name}; echo x > /dev/shm/{name}; echo x > /var/tmp/{name}"
    )
    assert output.startswith("x\n")
    assert not any(path.exists() for path in paths)


@builders(*ISOLATED)
def test_a_script_sees_the_same_paths_and_ids_for_every_builder(builder: Builder) -> None:
    output = builder.output('echo "$PWD $TMPDIR $(id -u):$(id -g) $(hostname) $(stat -c %u:%g .)"; ls -A "$TMPDIR"')
    assert output == "/build/root /tmp 1000:100 localhost 1000:100\nscript\n"


@builders(*ISOLATED)
def test_only_processes_of_the_session_are_seen(builder: Builder) -> None:
    sleep = unique_sleep()
    with subprocess.Popen(sleep.split()) as outside:
        output = builder.output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        outside.kill()
    assert sleep not in output


SLEEP = unique_sleep()
ENDS = {
    "kill": f"kill -KILL $PPID; {SLEEP}",
    "kill-leaving-others": f"setsid {SLEEP} & (setsid setsid {SLEEP} &) & kill -KILL $PPID; {SLEEP}",
    "stop": f"kill -STOP $PPID; {SLEEP}",
    "stop-itself": f"kill -STOP $$; {SLEEP}",
}
# These would reach other processes of the user where the sandbox has no processes of its own.
ENDS_OF_ALL = {
    "stop-all": f"(setsid {SLEEP} &) & kill -STOP 1; kill -KILL 1; kill -STOP -1; {SLEEP}",
    "kill-all": f"kill -KILL -1; {SLEEP}",
}


@builders(*KINDS, users=("root",))
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("fake", [False, True])
def test_a_session_that_a_script_kills_or_stops_ends_with_all_its_processes(
    builder: Builder, end: str, fake: bool
) -> None:
    script = ENDS[end]
    error = builder.failure(Scripts("" if fake else script, script if fake else "", search_path=PATH, time_limit=60))
    assert "got no end within" not in str(error)
    wait_until(lambda: not is_running(SLEEP))


@builders(*ISOLATED)
@pytest.mark.parametrize("end", ENDS_OF_ALL)
def test_a_session_in_which_a_script_kills_or_stops_everything_ends(builder: Builder, end: str) -> None:
    error = builder.failure(Scripts("", ENDS_OF_ALL[end], search_path=PATH, time_limit=60))
    assert "got no end within" not in str(error)
    wait_until(lambda: not is_running(SLEEP))


# Without a sandbox, a script can reach the session's supervisor.
ENDS_OF_SUPERVISORS = {
    "kill-supervisor": f"read -r _ _ _ up _ < /proc/$PPID/stat; kill -KILL $up; {SLEEP}",
    "kill-supervisor-and-session": f"read -r _ _ _ up _ < /proc/$PPID/stat; kill -KILL $up $PPID; {SLEEP}",
    "stop-supervisor": f"read -r _ _ _ up _ < /proc/$PPID/stat; kill -STOP $up; kill -KILL $PPID; {SLEEP}",
}


@pytest.mark.parametrize("end", [*ENDS, *ENDS_OF_SUPERVISORS])
@pytest.mark.parametrize("fake", [False, True])
def test_the_same_holds_without_a_sandbox(end: str, fake: bool) -> None:
    script = {**ENDS, **ENDS_OF_SUPERVISORS}[end]
    with pytest.raises(ScriptError) as caught:
        run_scripts(Tree(), Scripts("" if fake else script, script if fake else "", False, PATH, 60, confined=False))
    assert "got no end within" not in str(caught.value)
    wait_until(lambda: not is_running(SLEEP))


@builders(*KINDS)
def test_a_stopped_session_ends_within_its_time_limit(builder: Builder) -> None:
    builder.failure(Scripts(f"kill -STOP $PPID; {SLEEP}", search_path=PATH, time_limit=0.5))
    wait_until(lambda: not is_running(SLEEP))


@builders(*ISOLATED)
def test_with_chroot_visible_folders_of_the_machine_cannot_be_written_to(builder: Builder) -> None:
    """This includes submounts: /dev/shm, /dev/pts and some folders below /proc are separate mounts."""
    tools.require("fakeroot", "proot")
    output = builder.output(
        """
        for place in /dev /proc /proc/sys /lib64 /usr/lib64 /nix/store /.lamina/path*; do
          if [ -d "$place" ] && (: > "$place/added") 2>/dev/null; then echo "written $place"; fi
        done
        (: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo writable
        """,
        fake=True,
        chroot=True,
    )
    assert set(output.split()) <= {"written", "/dev"}, "only the private /dev may take files"


EXTRA = "echo x > made; mkdir closed; echo x > closed/inner; chmod 4711 made; chmod 700 ."
# Every way to set an extended attribute makes fakeroot record the file's owner, not only setcap.
FAKE = """
cp /bin/true program; setcap cap_net_raw+ep program
cp /bin/true given; chown 12:34 given; setcap cap_net_raw+ep given
/usr/bin/python3 -c 'import os; [os.setxattr(name, "user.a", b"b") for name in ("made", "closed")]'
chown 65534:100 closed/inner; chown 1234:1234 .; chmod 0 closed
"""


@builders(*KINDS, "none")
def test_the_layer_is_the_same_for_every_builder(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.require("fakeroot", "setcap", "/usr/bin/python3")
    members: dict[bytes, Meta] = {
        b"": Meta(0o700, 1234, 1234),
        b"closed": Meta(0o000, 0, 0, (("user.a", b"b"),)),
        b"closed/inner": Meta(0o644, 65534, 100),
        b"given": Meta(0o755, 12, 34, (CAPABILITY,)),
        b"made": Meta(0o4711, 0, 0, (("user.a", b"b"),)),
        b"program": Meta(0o755, 0, 0, (CAPABILITY,)),
    }
    content = {b"closed/inner": b"x\n", b"made": b"x\n"}
    expected = Tree()
    for path, meta in members.items():
        data = content.get(path, Path("/bin/true").read_bytes())
        is_folder = path in (b"", b"closed")
        expected.put(Directory(path) if is_folder else Regular(path, True, len(data), data), meta)
    assert builder.digest(EXTRA, FAKE) == sha256(packed_bytes(RootLayer(expected).pack())).hexdigest()


# Permissions that are taken from folders and files, an attribute that is below and on them, and modes in between.
CLOSED = """
mkdir -p a/b/c d/e f/g h/i j
for place in . a a/b a/b/c d d/e f f/g h h/i j; do echo "$place" > $place/file; done
setfattr -n user.a -v b a/b/file 2>/dev/null || true
echo run > j/run; chmod 0100 j/run
chmod 0 a/b/file d/file a/b/c; chmod 0300 a/b; chmod 0 a; chmod 0400 d/e; chmod 0600 d; chmod 0200 f/g; chmod 2000 f
chmod 4100 h/i; chmod 1700 h; chmod 0 j file
"""


@builders(*KINDS, "none")
@pytest.mark.parametrize("closed", ["", "chmod 0 ."])
def test_permissions_that_a_script_removes_are_in_the_layer_and_change_nothing_else(
    builder: Builder, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    tools.require("fakeroot")
    here = [builder.digest(CLOSED + closed, ""), builder.digest("", CLOSED + closed)]
    if not closed:  # an ordinary user's second script would have to open it
        here.append(builder.digest(CLOSED, "chown 7:8 j"))
    monkeypatch.setattr(sandbox, "CANDIDATES", {})
    reference = Builder("none", is_nobody=False)
    there = [reference.digest(CLOSED + closed, ""), reference.digest("", CLOSED + closed)]
    if not closed:
        there.append(reference.digest(CLOSED, "chown 7:8 j"))
    assert here == there
    assert here[0] == here[1]


@builders(*KINDS, "none")
@pytest.mark.parametrize(
    "script",
    [
        "chmod 0 ..",
        "chmod 0 .. $TMPDIR",
        "chmod 0 /build ../../session ../../proot ../.. 2>/dev/null || true",
        "rm $TMPDIR/script; mkdir -p $TMPDIR/script/x; chmod 0 $TMPDIR/script",
    ],
)
def test_a_script_may_remove_permissions_of_the_sessions_folders(builder: Builder, script: str) -> None:
    tools.require("fakeroot")
    made = "echo x > made; chown 3 made 2>/dev/null || true;"
    assert builder.digest(made + script, "") == builder.digest(made, "")
    assert builder.digest(made + script, made + script) == builder.digest(made, made)


@builders(*KINDS, "none")
def test_a_failing_script_may_remove_permissions_of_the_sessions_folders(builder: Builder) -> None:
    confined = builder.kind != "none"
    error = builder.failure(Scripts("chmod 0 $TMPDIR ..; exit 3", search_path=PATH, confined=confined))
    assert "got exit status 3" in str(error)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@builders(*ISOLATED, users=("root",))
def test_a_folder_of_path_that_other_users_cannot_enter_is_left_out(builder: Builder, tmp_path: Path) -> None:
    """As under sudo, with a PATH that leads into the home folder of an ordinary user."""
    closed = tmp_path / "home"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    os.chown(closed, 12345, 12345)
    assert run_scripts(Tree(), Scripts("echo done", search_path=f"{closed}/bin:{PATH}")).output == "done\n"


# A script can find the descriptor that takes the session's answer, and end the session before it answers.
FORGE = """
for file in /proc/$PPID/fd/*; do
  case $(readlink "$file") in pipe:*) (echo '{answer}' > "$file") 2>/dev/null & esac
done
wait; kill -KILL $PPID; sleep 300
"""


@pytest.mark.parametrize(
    "answer",
    [
        "[1]",
        '{"status": 0}',
        '{"status": 0, "entries": {"a": 1}}',
        '{"status": 0, "entries": [["", 1, 2, 3]]}',
        '{"status": 0, "entries": [["zz", 16877, 2, 3, {}]]}',
        '{"status": 0, "entries": [["", 16877, -2, 3, {}]]}',
        '{"status": 0, "entries": [["", 16877, 99999999999, 3, {}]]}',
        '{"status": 0, "entries": [["", 16877, 2, 3, {"user.a": "zz"}]]}',
        '{"status": 0, "entries": [["", 16877, 2, 3, {"user.a": 5}]]}',
        '{"status": 0, "entries": [["", 16877, 2, 3, []]]}',
        '{"status": 0, "entries": [["", 16877, 2, 3, {"user.\\ud800": ""}]]}',
        '{"status": 0, "entries": [["", 16877, 2, 3, {"user.a\\u0000b": ""}]]}',
        '{"status": 0, "entries": [["", 16877, 2, 3, {"": "00"}]]}',
        '{"status": 0, "entries": [["", true, 2, 3, {}]]}',
        '{"status": false, "entries": [["", 16877, 2, 3, {}]]}',
        '{"status": 0.0, "entries": [["", 16877, 2, 3, {}]]}',
        '{"status": 4294967296, "entries": []}',
        '{"error": ' + "[" * 900 + "]" * 900 + "}",
        '{"error": 5}',
        '{"error": "x", "errno": "28"}',
    ],
)
def test_an_answer_that_a_script_forges_is_a_script_error(answer: str) -> None:
    with pytest.raises(ScriptError) as caught:
        run_scripts(Tree(), Scripts(FORGE.replace("{answer}", answer), search_path=PATH, confined=False))
    assert caught.value.exit_code == 9
    assert re.search("got (no result of their session|'x'), expected one", str(caught.value))


_KILLED = """
import sys
from lamina.rootfs import sandbox
from lamina.rootfs.scripts import Scripts, run_scripts
from lamina.rootfs.tree import Tree
kind, script, path = sys.argv[1:]
sandbox.CANDIDATES = {kind: sandbox.CANDIDATES[kind]} if kind != "none" else {}
run_scripts(Tree(), Scripts("", script, False, path, None, kind != "none"))
"""


@builders(*KINDS, "none", users=("root",))
def test_no_process_remains_when_lamina_is_killed(builder: Builder) -> None:
    tools.require("fakeroot")
    folder = tempfile.gettempdir()
    # The fixture sets a Python that another user can start too.
    python_path = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "TMPDIR": folder, "PYTHONPATH": python_path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _KILLED, builder.kind, f"(setsid {SLEEP} &) & {SLEEP}", PATH]
    with subprocess.Popen(command, env=environment) as lamina:
        wait_until(lambda: is_running(SLEEP))
        lamina.kill()
    wait_until(lambda: not is_running(SLEEP))
    for left in Path(folder).iterdir():  # the next run removes it
        shutil.rmtree(left)


def test_proot_leaves_nothing_behind_when_its_script_takes_too_long() -> None:
    tools.require("fakeroot", "proot")
    before = set(Path("/tmp").glob("proot-*"))
    with pytest.raises(ScriptError, match="got no end within"):
        run_scripts(Tree(), Scripts("", SLEEP, True, PATH, 1, confined=False))
    left = {path for path in Path("/tmp").glob("proot-*") if path not in before}
    # Those of another program's proot go when it ends.
    wait_until(lambda: not any(path.exists() and has_ended(int(path.name.split("-")[1])) for path in left))
    wait_until(lambda: not is_running(SLEEP))


@builders(*KINDS)
@pytest.mark.parametrize(
    "folder", ["/proc/1/root/root", "/proc/1/cwd", "/proc/self/fd", "/dev/shm", "/sys/kernel", "//dev/fd"]
)
def test_folders_of_the_kernel_on_path_are_left_out(builder: Builder, folder: str) -> None:
    scripts = Scripts("echo x > made", "", False, f"{PATH}:{folder}")
    assert builder.call(lambda: run_scripts(Tree(), scripts).tree.node(b"made")) is not None
    assert folder not in {bind.path for bind in bind_mounts.find_binds(f"{PATH}:{folder}")}


@builders("Landlock", users=("root",))
def test_a_proot_that_needs_tmp_is_refused_under_landlock(builder: Builder) -> None:
    tools.require("fakeroot", "proot")
    if b"PROOT_TMP_DIR" in Path(shutil.which("proot", path=PATH) or "").read_bytes():
        pytest.skip("this proot does not need /tmp")
    error = builder.failure(Scripts("", "true", True, PATH))
    assert "got a proot that works only in /tmp" in str(error)


@pytest.mark.parametrize("variable", ["TMPDIR", "PATH"])
def test_a_folder_that_proot_cannot_show_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    tools.require("fakeroot", "proot")
    folder = tmp_path / "a:b"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    search_path = PATH
    if variable == "TMPDIR":
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
    else:
        search_path = f"{PATH}:{tmp_path}/link"
    with pytest.raises(ScriptError, match=r"a:b.*expected a path without ':' for proot") as caught:
        run_scripts(Tree(), Scripts("", "true", True, search_path, confined=False))
    assert variable in caught.value.hint
    assert run_scripts(Tree(), Scripts("true", "true", False, search_path, confined=False))


@builders("Landlock", users=("root",))
def test_a_warning_says_what_landlock_does_not_confine(builder: Builder) -> None:
    assert "modes, owners" in run_scripts(Tree(), Scripts("true", search_path=PATH)).warnings[0]


@builders("Landlock")
@pytest.mark.parametrize("script", ["exit 3", 'rm -r "$PWD"', "kill -STOP $PPID"])
def test_the_warning_about_landlock_is_in_the_hint_of_a_failed_script(builder: Builder, script: str) -> None:
    assert "confined by Landlock alone" in builder.failure(Scripts(script, search_path=PATH)).hint
