"""Build a seccomp filter that allows a session only the kinds of sockets that its sandbox confines.

A network namespace confines Internet sockets, but not sockets from a virtual machine to its host (AF_VSOCK). Landlock
restricts TCP at most, and not sockets with a path, such as that of a container engine. The filter also refuses the
calls for the kernel's keyrings, because keys belong to a user and not to a namespace.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection
from typing import NamedTuple

# linux/socket.h: UNIX, INET, INET6 and NETLINK, which a network namespace confines.
CONFINED_FAMILIES = (1, 2, 10, 16)
# linux/bpf_common.h: load a word of the call's data; jump if it equals a value, or is at least a value; return a value.
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
# linux/seccomp.h, struct seccomp_data: the call's number, the architecture, the first argument's lower half.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
# The x32 system calls of x86_64 begin at this number.
_X32 = 0x40000000
# io_uring can open sockets too. Its number is the same on all architectures.
_IO_URING_SETUP = 425


class _SyscallTable(NamedTuple):
    """A table of system calls: its AUDIT_ARCH number (linux/audit.h), the number of socket(2), and refused calls."""

    architecture: int
    socket: int
    refused: tuple[int, ...]


# For each machine, its own table and the table of the 32-bit programs that it can run. The refused calls are add_key,
# request_key, keyctl, and the old socketcall, whose arguments are in memory, where a filter cannot read them.
_TABLES = {
    "x86_64": (_SyscallTable(0xC000003E, 41, (248, 249, 250)), _SyscallTable(0x40000003, 359, (286, 287, 288, 102))),
    "aarch64": (_SyscallTable(0xC00000B7, 198, (217, 218, 219)), _SyscallTable(0x40000028, 281, (309, 310, 311, 102))),
    "riscv64": (_SyscallTable(0xC00000F3, 198, (217, 218, 219)),),
}
MACHINES = tuple(_TABLES)


def build_filter(machine: str, families: Collection[int]) -> bytes:
    """Return the filter for ``machine`` that allows only sockets of ``families``, as BPF instructions for seccomp(2).

    System calls of unknown tables are refused.

    Raises:
        KeyError: The machine is not one of `MACHINES`.
    """
    parts = [_filter_table(table, families) for table in _TABLES[machine]]
    steps = [_encode(_LOAD, _ARCHITECTURE)]
    for table, part in zip(_TABLES[machine], parts, strict=True):
        steps += [_encode(_JUMP_EQUAL, table.architecture, otherwise=len(part)), *part]
    return b"".join([*steps, _encode(_RETURN, _REFUSE)])


def _filter_table(table: _SyscallTable, families: Collection[int]) -> list[bytes]:
    refused = (*table.refused, _IO_URING_SETUP)
    # Each check is directly followed by its consequence, so that no jump distances have to be counted.
    steps = [
        _encode(_LOAD, _NUMBER),
        _encode(_JUMP_AT_LEAST, _X32, otherwise=1),
        _encode(_RETURN, _REFUSE),
    ]
    for number in refused:
        steps += [_encode(_JUMP_EQUAL, number, otherwise=1), _encode(_RETURN, _REFUSE)]
    steps += [
        _encode(_JUMP_EQUAL, table.socket, then=1),
        _encode(_RETURN, _ALLOW),
        _encode(_LOAD, _FIRST_ARGUMENT),
    ]
    for family in families:
        steps += [_encode(_JUMP_EQUAL, family, otherwise=1), _encode(_RETURN, _ALLOW)]
    return [*steps, _encode(_RETURN, _REFUSE)]


def _encode(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Encode an instruction. A jump skips ``then`` instructions if its condition is true, else ``otherwise``."""
    return struct.pack("=HBBI", code, then, otherwise, value)
