"""Sandboxes that confine a script: the kinds of sandboxes, which one works on this machine, and what a script sees.

A script sees the image's root, a private ``/tmp`` and the programs of this machine read-only. It sees nothing else of
the machine: no home folders, no other processes, no network. The first sandbox that works is used, in this order:
bubblewrap, lamina's own namespaces, Landlock. docs/scripts.md is the contract, and docs/design/0012-sandbox.md has the
reasons.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lamina.core.names import STORE_DIR
from lamina.errors import ScriptError
from lamina.messages.shortages import find_errno
from lamina.rootfs import bind_mounts, resource_limits, session_programs, session_runner
from lamina.rootfs.bind_mounts import Bind
from lamina.rootfs.session import seccomp
from lamina.rootfs.session.protocol import LANDLOCK, NAMESPACES, NONE, Policy

# A user and group ID that no distribution assigns, neither to users nor to services, so it owns no files. It is small
# enough to exist in the user namespaces of container engines.
UNUSED_ID = 65530
# The user and group ID in Nix's own build sandbox (Nix manual, "sandbox"). They are not those of root, because programs
# such as tar restore owners if root runs them.
_USER, _GROUP = 1000, 100
# Paths below /proc that the machine's root may write to regardless of its capabilities inside the sandbox.
_READ_ONLY_PROC = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi")
_PROBE_SECONDS = 20
# bubblewrap reads the filter from an open descriptor; bash chooses a free one.
_FILTER_SCRIPT = 'exec {filter}< "$0" && exec "$1" --seccomp "$filter" "${@:2}"'
_HINT = "install bubblewrap, or run the scripts with --no-sandbox where they can be trusted"


@dataclass(frozen=True, slots=True)
class SessionPaths:
    """The folders of a session, with the paths that the script sees."""

    root: str
    scratch: str
    proot: str
    session: str
    system: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionFolders:
    """The folders of a session in the workspace, with their paths on this machine.

    Attributes:
        workspace: The folder that holds the others.
        build: The folder that holds the image's root.
        root: The image's root.
        scratch: The script's temporary folder.
        proot: The folder for proot's temporary files.
        session: The folder of the session's programs and its task.
        etc: The folder of the files that a sandbox shows in ``/etc``.
        filter: The file of bubblewrap's seccomp filter; it exists only for the architectures that `seccomp` knows.
        mounts: An empty folder that a new root is mounted on.
    """

    workspace: Path
    build: Path
    root: Path
    scratch: Path
    proot: Path
    session: Path
    etc: Path
    filter: Path
    mounts: Path

    @classmethod
    def of(cls, workspace: Path) -> SessionFolders:
        """Return the folders in ``workspace``."""
        build = workspace / "build"
        names = ("tmp", "proot", "session", "etc", "filter", "mounts")
        return cls(workspace, build, build / "root", *(workspace / name for name in names))

    @property
    def folders_to_restore(self) -> tuple[Path, ...]:
        """The folders that lamina has to access after a script has run, parents first."""
        return (self.workspace, self.build, self.scratch, self.proot, self.session)

    def make(self) -> None:
        """Create everything that a session needs besides the root's folder; raise `OSError` if that fails."""
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
        """Make ``owner``, a user other than this process's, the owner of the session's folders.

        This is done only before the first script, because chown(2) removes the setuid bits of files that a script made.

        Raises:
            OSError: An owner or mode cannot be changed.
        """
        self.workspace.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
        for top in (self.build, self.scratch, self.proot, self.session):
            for parent, inner, files in os.walk(top):
                for name in ("", *inner, *files):
                    os.chown(os.path.join(parent, name), owner, owner, follow_symlinks=False)


class Sandbox(ABC):
    """A way to run a session: in a sandbox, or unconfined.

    Attributes:
        name: The name of the sandbox in messages.
        warning: What the sandbox does not confine, or an empty string if no warning is needed.
        owner: The user and group ID that must own the workspace; None to leave the owner unchanged.
        has_writable_tmp: Whether scripts may write to ``/tmp``.
    """

    __slots__ = ()
    name = "no sandbox"
    warning = ""
    owner: int | None = None
    has_writable_tmp = True

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Return the paths of the session's folders as the script sees them."""
        return _INNER_PATHS

    @abstractmethod
    def command(self, folders: SessionFolders, search_path: str, command: list[str], *, as_root: bool) -> list[str]:
        """Return the command line that runs ``command`` for a script whose PATH is ``search_path``.

        If the sandbox maps users, ``as_root`` maps the user who runs lamina to root, which a fakeroot session requires.
        """


@dataclass(frozen=True, slots=True)
class Bubblewrap(Sandbox):
    """Namespaces made by bubblewrap.

    Attributes:
        program: The path of bubblewrap.
        shell: The path of bash, which opens the filter and starts bubblewrap.
        extra_flags: Flags of bubblewrap that only some versions have.
    """

    program: str
    shell: str
    extra_flags: tuple[str, ...]
    name = "bubblewrap"

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
class Namespaces(Sandbox):
    """Namespaces made by lamina itself (`lamina.rootfs.session.namespaces`)."""

    name = "namespaces"

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
class Landlock(Sandbox):
    """Landlock, for machines that do not allow namespaces.

    If lamina runs as root, the script runs as an ordinary user, because Landlock does not restrict changes of modes and
    owners.
    """

    owner: int | None
    name = "Landlock"
    warning = (
        "scripts: confined by Landlock alone: they see other processes, and can change modes, owners and dates of your "
        "own files"
    )
    has_writable_tmp = False

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Return the paths of the session's folders as the script sees them."""
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
class Unconfined(Sandbox):
    """No sandbox.

    ``read_only`` are folders of this machine that are visible in the image's root under proot. They are made read-only
    if possible, so that a script cannot change them instead of the image's folders by mistake.
    """

    read_only: tuple[str, ...] = ()

    def session_paths(self, folders: SessionFolders) -> SessionPaths:
        """Return the paths of the session's folders as the script sees them."""
        return _outer_paths(folders, ("/dev", "/proc", "/sys", STORE_DIR))

    def command(self, folders: SessionFolders, search_path: str, command: list[str], *, as_root: bool) -> list[str]:
        """Return the command line that runs ``command`` unconfined and ends all processes that it leaves running."""
        uid, gid = _choose_ids(as_root) if as_root else (-1, -1)
        policy = Policy(NONE, str(folders.root), uid, gid, -1, "", [], [], [], list(self.read_only))
        return _build_supervised_command(folders, policy, command)


_INNER_PATHS = SessionPaths("/build/root", "/tmp", "/.lamina/proot", "/.lamina/session", ("/dev", "/proc", STORE_DIR))  # noqa: S108 - inside


def find_sandbox(label: str, folders: SessionFolders, search_path: str) -> Sandbox:
    """Return the first sandbox that works on this machine for the script ``label`` in ``folders``.

    Raises:
        ScriptError: No sandbox works; the message has the reason for each of them.
        OutputError: No sandbox works because of a shortage, such as too few processes.
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
    raise ScriptError(label, f"no sandbox ({'; '.join(refused)})", "a sandbox to run them in", hint=_HINT)


def _find_bubblewrap(search_path: str) -> Sandbox | str:
    program = shutil.which("bwrap", path=search_path)
    if not program:
        return "not installed"
    shell = shutil.which("bash", path=search_path) or "bash"
    extra_flags = _find_extra_flags(os.path.abspath(program))
    return Bubblewrap(os.path.abspath(program), os.path.abspath(shell), extra_flags)


@functools.cache
def _find_extra_flags(program: str) -> tuple[str, ...]:
    """Return the flag that forbids nested user namespaces if this bubblewrap has it, as version 0.8 and later do.

    Raises:
        OSError: The program cannot be run or does not end.
    """
    result = session_runner.run_program([program, "--help"], Path("/"), _PROBE_SECONDS)
    return ("--disable-userns",) if "--disable-userns" in result.text else ()


def _find_namespaces(search_path: str) -> Sandbox | str:
    return Namespaces() if sys.platform == "linux" else "not on this system"


def _find_landlock(search_path: str) -> Sandbox | str:
    from lamina.rootfs.session import landlock

    version = landlock.get_abi_version() if sys.platform == "linux" else 0
    if version < landlock.MIN_ABI_VERSION:
        return f"the kernel has version {version}" if version else "not in this kernel"
    return Landlock(UNUSED_ID if os.geteuid() == 0 else None)


CANDIDATES: dict[str, Callable[[str], Sandbox | str]] = {
    "bubblewrap": _find_bubblewrap,
    "namespaces": _find_namespaces,
    "Landlock": _find_landlock,
}


def _probe(sandbox: Sandbox, folders: SessionFolders, search_path: str) -> str:
    """Run a program in ``sandbox``; return the reason of a failure, or an empty string if it works."""
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
    """Return the bind mounts for a sandbox that has its own root, parents first."""
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
