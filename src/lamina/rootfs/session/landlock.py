"""Confine a session with Landlock, for machines and containers that do not allow namespaces.

Landlock restricts which files are read and written. It does not restrict changes of modes, owners, dates and attributes
of other files, and there is no process namespace. A seccomp filter (`seccomp`) removes access to the network.
"""

from __future__ import annotations

import ctypes
import os
import stat
from typing import TYPE_CHECKING

from lamina.rootfs.session import linux, seccomp

if TYPE_CHECKING:
    from lamina.rootfs.session.protocol import Policy

# These system call numbers are the same on all architectures except Alpha.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_RULE_PATH_BENEATH = 1
# The first version that restricts truncate(2). With an older one, a script can empty files of the user who builds.
MIN_ABI_VERSION = 3
# linux/landlock.h: the number of access rights to files that each version has, and the rights themselves.
_RIGHTS = {3: 15, 4: 15}
_NEWER_RIGHTS = 16
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 0x1, 0x2, 0x4, 0x8
_MAKE_CHARACTER_DEVICE, _MAKE_BLOCK_DEVICE = 1 << 6, 1 << 11
_TRUNCATE, _DEVICE_IOCTL = 1 << 14, 1 << 15
_NET_VERSION, _ALL_TCP = 4, 0x3
_SCOPE_VERSION, _SCOPES = 6, 0x3
_READ = _EXECUTE | _READ_FILE | _READ_FOLDER
_FILE_ACCESS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_IOCTL
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def get_abi_version() -> int:
    """Return the version of Landlock's interface that this kernel has, 0 for none."""
    try:
        return max(0, _syscall(_CREATE_RULESET, None, 0, _GET_VERSION))
    except (OSError, AttributeError):
        return 0


def restrict(policy: Policy, *, is_root: bool) -> None:
    """Confine this process and its children permanently, as ``policy`` says; raise `OSError` if that fails.

    Root switches to the policy's unprivileged user, because Landlock does not restrict some changes, such as changes of
    modes, and root could make them to any file.
    """
    abi = get_abi_version()
    if abi < MIN_ABI_VERSION:
        raise OSError(f"Landlock: got version {abi}, expected {MIN_ABI_VERSION} or later")
    machine = os.uname().machine
    if machine not in seccomp.MACHINES:
        raise OSError(f"seccomp: got architecture {machine}, expected one of {', '.join(seccomp.MACHINES)}")
    syscall_filter = seccomp.build_filter(machine, ())
    if is_root:
        linux.empty_bounding_set()  # do this now, because setuid(2) below removes the right to do it
        os.setgroups([])
        os.setgid(policy.unprivileged_id)
        os.setuid(policy.unprivileged_id)
    os.chdir(policy.start_folder)
    linux.drop_capabilities()
    linux.set_no_new_privs()
    ruleset = _create_ruleset(abi)
    all_rights = _all_file_rights(abi)
    for source, _, writable in policy.binds:
        withheld = _MAKE_CHARACTER_DEVICE | _MAKE_BLOCK_DEVICE
        _allow(ruleset, source, all_rights & ~withheld if writable else _READ)
    for device in _DEVICES:
        _allow(ruleset, device, _WRITE_FILE | _READ_FILE)
    for path in ("/proc", "/dev/fd"):
        _allow(ruleset, path, _READ)
    _syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    linux.set_seccomp_filter(syscall_filter)


def _all_file_rights(abi: int) -> int:
    return (1 << _RIGHTS.get(abi, _NEWER_RIGHTS)) - 1


def _create_ruleset(abi: int) -> int:
    """Create a ruleset that denies everything; return its descriptor."""
    fields = [
        _all_file_rights(abi),
        _ALL_TCP if abi >= _NET_VERSION else 0,
        _SCOPES if abi >= _SCOPE_VERSION else 0,
    ]
    attributes = (ctypes.c_uint64 * 3)(*fields)
    # The struct has grown with the versions; fields that a version does not know must be left out.
    size = 8 * (3 if abi >= _SCOPE_VERSION else 2 if abi >= _NET_VERSION else 1)
    return _syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # a missing or unreachable path needs no rule
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FILE_ACCESS
        rule = _PathBeneath(rights, descriptor)
        _syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


def _syscall(number: int, *arguments: object) -> int:
    # ctypes would pass a plain int as 32 bits.
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return linux.check_result(linux.libc().syscall(ctypes.c_long(number), *words), "Landlock")
