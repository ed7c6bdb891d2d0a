"""What confines a script: which sandboxes there are, which of them works here, and what it shows.

A script sees the image's root, a private ``/tmp``, the programs of this machine read-only, and nothing else of it: no
home folders, no other processes, no network. In this order the first that works is taken: bubblewrap, namespaces of
our own, Landlock. docs/scripts.md is the contract; docs/design/0012-sandbox.md has the reasons.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lamina.core.names import STORE_DIR
from lamina.errors import ScriptError
from lamina.messages.shortages import find_errno
from lamina.rootfs import bind_mounts, resource_limits, session_programs, session_runner
from lamina.rootfs.bind_mounts import Bind
from lamina.rootfs.session import seccomp
from lamina.rootfs.session.protocol import LANDLOCK, NAMESPACES, NONE, Policy

# An ID between those of users and those of services that no distribution gives to anybody, so that it owns nothing; it
# is small enough to exist in the user namespaces of container engines.
UNUSED_ID = 65530
# What ordinary users are in Nix's own build sandbox (Nix manual, "sandbox"): programs such as tar act upon IDs only
# where they are root's.
_USER, _GROUP = 1000, 100
# Below /proc: root outside may write there whatever its capabilities are inside.
_READ_ONLY_PROC = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi")
_PROBE_SECONDS = 20
# bubblewrap takes a filter as an open file; bash finds a descriptor that is free.
_FILTER_SCRIPT = 'exec {filter}< "$0" && exec "$1" --seccomp "$filter" "${@:2}"'
_HINT = "install bubblewrap, or run the scripts with --no-sandbox where they can be trusted"


@dataclass(frozen=True, slots=True)
class SessionPaths:
    """Where a session has what it works with, as the script sees it."""

    root: str
    scratch: str
    proot: str
    session: str
    system: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionFolders:
    """The folders of a workspace; ``build`` holds the root."""

    workspace: Path

    @property
    def build(self) -> Path:
        """The folder that holds the image's root."""
        return self.workspace / "build"

    @property
    def root(self) -> Path:
        """The image's root."""
        return self.build / "root"

    @property
    def scratch(self) -> Path:
        """The script's temporary folder."""
        return self.workspace / "tmp"

    @property
    def proot(self) -> Path:
        """Where proot keeps what it needs to show folders."""
        return self.workspace / "proot"

    @property
    def session(self) -> Path:
        """The session's programs and its task."""
        return self.workspace / "session"

    @property
    def etc(self) -> Path:
        """The files that a sandbox shows in ``/etc``."""
        return self.workspace / "etc"

    @property
    def filter(self) -> Path:
        """The system calls that bubblewrap lets through, a file where this machine's are known."""
        return self.workspace / "filter"

    @property
    def mounts(self) -> Path:
        """An empty folder that a new root is mounted on."""
        return self.workspace / "mounts"

    @property
    def folders_to_restore(self) -> tuple[Path, ...]:
        """The folders that lamina must get into again after a script, those at the top first."""
        return (self.workspace, self.build, self.scratch, self.proot, self.session)

    def make(self) -> None:
        """Make all that a session needs beside the root's folder. Raises `OSError`."""
        self.build.chmod(0o755)
        for folder in (self.scratch, self.proot, self.etc, self.mounts):
            folder.mkdir()
            folder.chmod(0o755)
        bind_mounts.write_etc(self.etc)
        if sys.platform == "linux" and os.uname().machine in seccomp.MACHINES:
            self.filter.write_bytes(seccomp.build_filter(os.uname().machine, seccomp.CONFINED_FAMILIES))
            self.filter.chmod(0o644)
        session_programs.install_programs(self.session)

    def change_owner(self, owner: int) -> None:
        """Give the session's folders to ``owner``, another user than this process. Raises `OSError`.

        This is done before the first script alone, because it would take the setuid bits off what a script made.
        """
        self.workspace.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
        for top in (self.build, self.scratch, self.proot, self.session):
            for parent, inner, files in os.walk(top):
                for name in ("", *inner, *files):
                    os.chown(os.path.join(parent, name), owner, owner, follow_symlinks=False)


class Sandbox(Protocol):
    """A way to run a session."""

    @property
    def warning(self) -> str:
        """What it does not confine, empty for nothing that has to be said."""

    @property
    def owner(self) -> int | None:
        """The ID that the workspace must belong to, None to leave it."""

    @property
    def has_writable_tmp(self) -> bool:
        """Whether programs may write to ``/tmp``."""

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Where the session has its folders."""

    def command(self, folders: SessionFolders, search_path: str, command: list[str], *, as_root: bool) -> list[str]:
        """Return the command line that runs ``command`` for a script that looks for programs on ``search_path``.

        ``as_root`` maps the builder to root where the sandbox maps users, as a fakeroot session needs it.
        """


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Namespaces made by bubblewrap, the program at ``program``; ``shell`` starts it, ``extra_flags`` are further
    flags.
    """

    program: str
    shell: str
    extra_flags: tuple[str, ...]
    warning = ""
    owner = None
    has_writable_tmp = True

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Where the session has its folders."""
        return _INNER_PATHS

    def command(self, folders: SessionFolders, search_path: str, command: list[str], *, as_root: bool) -> list[str]:
        """Return the command line that runs ``command`` under bubblewrap."""
        uid, gid = _choose_ids(as_root)
        flags = [
            *("--unshare-user", "--uid", str(uid), "--gid", str(gid)),
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *("--hostname", "localhost", "--die-with-parent", "--cap-drop", "ALL", *self.extra_flags),
            *("--dev", "/dev", "--proc", "/proc"),
        ]
        for path in _READ_ONLY_PROC:
            flags += ["--ro-bind-try", path, path]
        for path, target in bind_mounts.find_system_links():
            flags += ["--symlink", target, path]
        for bind in _inner_binds(folders, search_path):
            flags += ["--bind" if bind.writable else "--ro-bind", bind.source, bind.path]
        flags += ["--remount-ro", "/", "--chdir", _INNER_PATHS.root]
        if not folders.filter.exists():
            return [self.program, *flags, "--", *command]
        return [self.shell, "-c", _FILTER_SCRIPT, str(folders.filter), self.program, *flags, "--", *command]


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Namespaces made by lamina itself."""

    warning = ""
    owner = None
    has_writable_tmp = True

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Where the session has its folders."""
        return _INNER_PATHS

    def command(self, folders: SessionFolders, search_path: str, command: list[str], *, as_root: bool) -> list[str]:
        """Return the command line that runs ``command`` in namespaces."""
        uid, gid = _choose_ids(as_root)
        binds = [(bind.source, bind.path, bind.writable) for bind in _inner_binds(folders, search_path)]
        policy = Policy(
            *(NAMESPACES, _INNER_PATHS.root, uid, gid, -1, str(folders.mounts)),
            *(binds, list(bind_mounts.find_system_links()), list(_READ_ONLY_PROC), []),
        )
        return _build_supervised_command(folders, policy, command)


@dataclass(frozen=True, slots=True)
class Landlock:
    """Landlock, for machines that allow no namespaces.

    Root becomes an ordinary user for it, because Landlock leaves modes and owners alone.
    """

    is_root: bool
    warning = (
        "scripts: confined by Landlock alone: they see other processes, and can change modes, owners and dates of your "
        "own files"
    )
    has_writable_tmp = False

    @property
    def owner(self) -> int | None:
        """The ID that the workspace must belong to, None to leave it."""
        return UNUSED_ID if self.is_root else None

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Where the session has its folders."""
        return _outer_paths(folders, ("/dev", "/proc", STORE_DIR))

    def command(self, folders: SessionFolders, search_path: str, command: list[str], *, as_root: bool) -> list[str]:
        """Return the command line that runs ``command`` under Landlock."""
        uid, gid = _choose_ids(as_root) if as_root else (-1, -1)
        session_binds = [
            (folders.build, True),
            (folders.scratch, True),
            (folders.proot, True),
            (folders.session, False),
        ]
        binds = [(str(path), str(path), writable) for path, writable in session_binds]
        binds += [(bind.source, bind.path, False) for bind in bind_mounts.find_binds(search_path)]
        binds += [(path, path, False) for path in ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")]
        policy = Policy(LANDLOCK, str(folders.root), uid, gid, UNUSED_ID, "", binds, [], [], [])
        return _build_supervised_command(folders, policy, command)


@dataclass(frozen=True, slots=True)
class Unconfined:
    """No sandbox; ``read_only`` are folders that are still kept from a script that means the image's by them."""

    read_only: tuple[str, ...] = ()
    warning = ""
    owner = None
    has_writable_tmp = True

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Where the session has its folders."""
        return _outer_paths(folders, ("/dev", "/proc", "/sys", STORE_DIR))

    def command(self, folders: SessionFolders, search_path: str, command: list[str], *, as_root: bool) -> list[str]:
        """Return the command line that runs ``command`` unconfined; what it leaves running is ended all the same."""
        uid, gid = _choose_ids(as_root) if as_root else (-1, -1)
        policy = Policy(NONE, str(folders.root), uid, gid, -1, "", [], [], [], list(self.read_only))
        return _build_supervised_command(folders, policy, command)


_INNER_PATHS = SessionPaths("/build/root", "/tmp", "/.lamina/proot", "/.lamina/session", ("/dev", "/proc", STORE_DIR))  # noqa: S108 - inside


def find_sandbox(label: str, folders: SessionFolders, search_path: str) -> Sandbox:
    """Return the first sandbox that works here, for the script ``label`` in ``folders``.

    Raises `ScriptError` with what was found of each where none does, `OutputError` where that is a shortage.
    """
    refused = []
    for name, find in CANDIDATES.items():
        try:
            found = find(search_path)
        except OSError as error:
            found = str(error)
        if isinstance(found, str):
            refused.append(f"{name}: {found}")
            continue
        problem = _probe(found, folders, search_path)
        if not problem:
            return found
        refused.append(f"{name}: {problem}")
    if shortage := resource_limits.make_shortage_error(label, find_errno("\n".join(refused))):
        raise shortage
    raise ScriptError(f"{label}: got no sandbox ({'; '.join(refused)}), expected one to run them in", hint=_HINT)


def _find_bubblewrap(search_path: str) -> Sandbox | str:
    program = shutil.which("bwrap", path=search_path)
    if not program:
        return "not installed"
    shell = shutil.which("bash", path=search_path) or "bash"
    extra_flags = _find_extra_flags(os.path.abspath(program))
    return Bubblewrap(os.path.abspath(program), os.path.abspath(shell), extra_flags)


@functools.cache
def _find_extra_flags(program: str) -> tuple[str, ...]:
    """Return the flag that refuses nested user namespaces, where this bubblewrap knows it (0.8).

    Raises `OSError` where the program cannot be run or does not end.
    """
    result = session_runner.run_program([program, "--help"], Path("/"), _PROBE_SECONDS)
    return ("--disable-userns",) if "--disable-userns" in result.text else ()


def _find_namespaces(search_path: str) -> Sandbox | str:
    return Namespaces() if sys.platform == "linux" else "not on this system"


def _find_landlock(search_path: str) -> Sandbox | str:
    from lamina.rootfs.session import landlock

    found = landlock.get_abi_version() if sys.platform == "linux" else 0
    if found < landlock.MIN_ABI_VERSION:
        return f"the kernel has version {found}" if found else "not in this kernel"
    return Landlock(os.geteuid() == 0)


CANDIDATES: dict[str, Callable[[str], Sandbox | str]] = {
    "bubblewrap": _find_bubblewrap,
    "namespaces": _find_namespaces,
    "Landlock": _find_landlock,
}


def _probe(sandbox: Sandbox, folders: SessionFolders, search_path: str) -> str:
    """Say why ``sandbox`` does not work here, or nothing where it runs a program."""
    probe = sandbox.command(
        folders, search_path, [session_programs.find_python(), "-I", "-S", "-B", "-c", ""], as_root=True
    )
    try:
        if sandbox.owner is not None:
            folders.change_owner(sandbox.owner)
        result = session_runner.run_program(probe, folders.build, _PROBE_SECONDS)
    except OSError as error:
        return str(error)
    if result.status == 0:
        return ""
    lines = result.text.strip().splitlines()
    return lines[-1] if lines else f"exit status {result.status}"


def _choose_ids(as_root: bool) -> tuple[int, int]:
    return (0, 0) if as_root else (_USER, _GROUP)


def _inner_binds(folders: SessionFolders, search_path: str) -> list[Bind]:
    """Return what a root of its own shows, parents before what lies in them."""
    session_binds = [
        Bind(str(folders.build), "/build", writable=True),
        Bind(str(folders.scratch), _INNER_PATHS.scratch, writable=True),
        Bind(str(folders.proot), _INNER_PATHS.proot, writable=True),
        Bind(str(folders.session), _INNER_PATHS.session),
        *(Bind(str(file), f"/etc/{file.name}") for file in sorted(folders.etc.iterdir())),
    ]
    return sorted([*session_binds, *bind_mounts.find_binds(search_path)], key=lambda bind: bind.path)


def _outer_paths(folders: SessionFolders, system: tuple[str, ...]) -> SessionPaths:
    return SessionPaths(str(folders.root), str(folders.scratch), str(folders.proot), str(folders.session), system)


def _build_supervised_command(folders: SessionFolders, policy: Policy, command: list[str]) -> list[str]:
    return session_programs.build_start_command(
        "supervisor", str(folders.session), json.dumps(policy._asdict()), *command
    )
