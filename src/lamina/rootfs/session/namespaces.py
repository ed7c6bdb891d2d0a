"""Confine a session with its own namespaces for users, mounts, processes, network, IPC, cgroups and host name.

This does the same as bubblewrap, for machines without it. The session gets its own root, which shows only the paths in
the policy, and it has no capabilities. All its processes end when its first process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lamina.rootfs.session import linux, seccomp

if TYPE_CHECKING:
    from lamina.rootfs.session.protocol import Policy

_CLONE_FLAGS = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
_EXIT_FAILED = 125
# linux/sockios.h, linux/if.h
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def map_builder(uid: int, gid: int) -> None:
    """Move this process into a user namespace where its user and group are ``uid`` and ``gid``; drop capabilities.

    Raises:
        OSError: This system does not allow it.
    """
    _enter(linux.CLONE_NEWUSER, uid, gid)
    linux.drop_capabilities()


def run(policy: Policy, command: list[str]) -> int:
    """Run ``command`` under ``policy``; return its exit status, or raise `OSError` if this system does not allow it."""
    linux.die_with_parent()
    _enter(_CLONE_FLAGS, policy.uid, policy.gid)
    first_pid = os.fork()
    if not first_pid:
        _run_first_process(policy, command)
    _, status = os.waitpid(first_pid, 0)
    return to_exit_status(status)


def _enter(flags: int, uid: int, gid: int) -> None:
    outer_uid, outer_gid = (os.geteuid(), os.getegid())
    linux.unshare(flags)
    # An ordinary user may map a group only after this (user_namespaces(7)).
    Path("/proc/self/setgroups").write_text("deny", "ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1", "ascii")


def to_exit_status(status: int) -> int:
    """Convert a status of waitpid(2) to an exit status as shells do, where a signal N is 128 + N."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _run_first_process(policy: Policy, command: list[str]) -> NoReturn:
    """Run as the first process of the new process namespace. When it ends, the kernel kills all others."""
    status = _EXIT_FAILED
    try:
        linux.die_with_parent()
        _make_root(policy)
        _start_loopback()
        socket.sethostname("localhost")
        # A script cannot revert this, because that needs a capability in this user namespace.
        Path("/proc/sys/user/max_user_namespaces").write_text("0", "ascii")
        _make_proc_read_only(policy.read_only_proc)
        linux.restrict_mount("/", recursive=False)
        linux.drop_capabilities()
        linux.set_no_new_privs()
        if os.uname().machine in seccomp.MACHINES:
            linux.set_seccomp_filter(seccomp.build_filter(os.uname().machine, seccomp.CONFINED_FAMILIES))
        child = os.fork()
        if not child:
            os.chdir(policy.start_folder)
            os.execv(command[0], command)  # noqa: S606 - a shell would change the words
        linux.refuse_tracing()
        status = _reap_until(child)
    except OSError as error:
        os.write(2, f"namespaces: got {error}, expected to confine the session\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _reap_until(child: int) -> int:
    """Wait for ``child`` and return its exit status; collect orphans that end before it."""
    while True:
        number, status = os.wait()
        if number == child:
            return to_exit_status(status)


def _make_root(policy: Policy) -> None:
    """Build the new root from the mounts and symlinks of ``policy``, and change to it."""
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", policy.mount_point, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    os.umask(0o022)
    _make_devices(policy.mount_point + "/dev")
    os.mkdir(policy.mount_point + "/proc")
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("proc", policy.mount_point + "/proc", "proc", flags)
    for path, target in policy.links:
        _link(target, policy.mount_point + path)
    for source, path, writable in policy.binds:
        _bind(source, policy.mount_point + path, writable)
    linux.pivot_root(policy.mount_point)


def _bind(source: str, path: str, writable: bool) -> None:
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.makedirs(path, exist_ok=True)
    else:
        _touch(path)
    linux.mount(source, path, flags=linux.MS_BIND | linux.MS_REC)
    linux.restrict_mount(path, writable=writable)


def _link(target: str, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def _touch(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o644))


def _make_devices(folder: str) -> None:
    os.mkdir(folder)
    linux.mount("tmpfs", folder, "tmpfs", linux.MS_NOSUID, "mode=755")
    os.mkdir(folder + "/shm", 0o1777)
    for name in _DEVICES:
        _touch(f"{folder}/{name}")
        linux.mount(f"/dev/{name}", f"{folder}/{name}", flags=linux.MS_BIND)
    for name, target in _DEVICE_LINKS:
        os.symlink(target, f"{folder}/{name}")


def _make_proc_read_only(paths: list[str]) -> None:
    """Make ``paths`` below /proc read-only, because the machine's root could write there even without capabilities."""
    for path in paths:
        if os.path.exists(path):
            linux.mount(path, path, flags=linux.MS_BIND | linux.MS_REC)
            linux.restrict_mount(path)


def _start_loopback() -> None:
    """Start the loopback interface, which the TCP variant of fakeroot uses to talk to its server."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
