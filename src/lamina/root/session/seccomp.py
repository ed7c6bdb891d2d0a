"""Refuse sockets to a process and all that it begins, by a seccomp filter.

Landlock knows TCP at the most, and no sockets with a path, such as those of a container engine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from lamina.root.session import linux

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
# linux/audit.h and the numbers of socket(2) there; io_uring, which can open sockets too, has one number everywhere.
_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198), "riscv64": (0xC00000F3, 198)}
_IO_URING_SETUP = 425
# x86_64's second table of system calls begins here.
_X32 = 0x40000000
# linux/bpf_common.h: load a word of the call's data; jump where it equals, or is at least, a value; return a value.
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES


def refuse_sockets() -> None:
    """Refuse sockets from now on, for good; raise `OSError` on an architecture whose numbers are not known here."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(f"seccomp: got architecture {machine}, expected one of {', '.join(_ARCHITECTURES)}")
    architecture, socket = _ARCHITECTURES[machine]
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 0, 5, architecture),  # a call of another architecture is refused
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 3, 0, _X32),
        (_JUMP_EQUAL, 2, 0, socket),
        (_JUMP_EQUAL, 1, 0, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    buffer = ctypes.create_string_buffer(program)
    linux.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(buffer))
