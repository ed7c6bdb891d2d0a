"""Linux system calls that Python's standard library lacks, made through the C library."""

from __future__ import annotations

import ctypes
import os
import signal
import struct

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
# linux/capability.h: the version of the struct with two 32-bit words, and more capabilities than any kernel has.
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES = 64
# linux/sched.h
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
# linux/mount.h
MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 0x1, 0x2, 0x4
# This system call number is the same on all architectures except Alpha.
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000


def libc() -> ctypes.CDLL:
    """Return the C library, with ``errno`` kept for `check_result`."""
    return ctypes.CDLL(None, use_errno=True)


def check_result(result: int, call_name: str) -> int:
    """Return ``result``; if it is negative, raise an `OSError` for ``errno`` that names ``call_name``."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), call_name)
    return result


def prctl(option: int, *values: int) -> int:
    """Make the system call prctl; raise `OSError` if it fails."""
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return check_result(libc().prctl(option, *arguments), "prctl")


def adopt_orphans() -> None:
    """Make this process the parent of all descendants whose own parent ends (a subreaper)."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def refuse_tracing() -> None:
    """Deny other processes of the same user access to this process's memory and descriptors."""
    prctl(_PR_SET_DUMPABLE, 0)


def set_no_new_privs() -> None:
    """Prevent setuid programs and file capabilities from giving rights to this process and its children."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def empty_bounding_set() -> None:
    """Prevent every program that this process starts from gaining a capability."""
    for number in range(_CAPABILITIES):
        if libc().prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0):
            break  # the kernel has no more capabilities, or this process may not drop them


def set_seccomp_filter(program: bytes) -> None:
    """Filter the system calls of this process and its children permanently by the BPF ``program``."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    header_buffer = ctypes.create_string_buffer(header, len(header))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header_buffer))


def drop_capabilities() -> None:
    """Give up all capabilities permanently."""
    empty_bounding_set()
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    no_capabilities = (ctypes.c_uint32 * 6)()
    check_result(libc().capset(header, no_capabilities), "capset")


def unshare(flags: int) -> None:
    """Make the system call unshare; raise `OSError` if it fails."""
    check_result(libc().unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Make the system call mount; raise `OSError` if it fails."""
    words = (os.fsencode(word) if word else None for word in (source, target, kind))
    check_result(libc().mount(*words, ctypes.c_ulong(flags), os.fsencode(options) or None), f"mount {target}")


def restrict_mount(target: str, *, writable: bool = False, recursive: bool = True) -> None:
    """Disallow setuid programs and devices on the mount at ``target``, and writing unless ``writable``.

    With ``recursive``, this applies to all mounts below it too.
    """
    flags = _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV | (0 if writable else _MOUNT_ATTR_RDONLY)
    _set_mount_attributes(target, flags, recursive=recursive)


def make_read_only(target: str) -> None:
    """Make the mount at ``target`` and all mounts below it read-only; devices remain usable."""
    _set_mount_attributes(target, _MOUNT_ATTR_RDONLY, recursive=True)


def _set_mount_attributes(target: str, flags: int, *, recursive: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    path = ctypes.c_char_p(os.fsencode(target))
    at_flags = ctypes.c_uint(_AT_RECURSIVE if recursive else 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    result = libc().syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), path, at_flags, ctypes.byref(attributes), size
    )
    check_result(result, f"mount_setattr {target}")


def pivot_root(root: str) -> None:
    """Make the mount at ``root`` the ``/`` of this mount namespace, and unmount the former one."""
    os.chdir(root)
    # The former root is stacked on top of the new one and unmounted from there (pivot_root(2), "pivot_root(".", ".")").
    check_result(libc().pivot_root(b".", b"."), "pivot_root")
    check_result(libc().umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")
