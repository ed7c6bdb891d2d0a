"""The seccomp filter: a small BPF interpreter shows which system calls it allows."""

from __future__ import annotations

import struct

import pytest

from lamina.rootfs.session import seccomp

X86_64, I386, AARCH64, ARM, RISCV64 = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028, 0xC00000F3
ALLOW = 0x7FFF0000
UNIX, INET, VSOCK = 1, 2, 40


def allows(program: bytes, architecture: int, number: int, first: int = 0) -> bool:
    """Tell whether ``program`` allows the call (kernel documentation: networking/filter, "BPF engine")."""
    data = struct.pack("=IIQQ", number, architecture, 0, first)
    steps = list(struct.iter_unpack("=HBBI", program))
    position = accumulator = 0
    while True:
        code, then, otherwise, value = steps[position]
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return bool(value == ALLOW)
        else:
            holds = accumulator == value if code == 0x15 else accumulator >= value
            position += then if holds else otherwise


@pytest.mark.parametrize(
    ("machine", "architecture", "socket"),
    [
        ("x86_64", X86_64, 41),
        ("x86_64", I386, 359),
        ("aarch64", AARCH64, 198),
        ("aarch64", ARM, 281),
        ("riscv64", RISCV64, 198),
    ],
)
def test_sockets_are_allowed_by_their_family(machine: str, architecture: int, socket: int) -> None:
    confined = seccomp.build_filter(machine, seccomp.CONFINED_FAMILIES)
    assert [family for family in range(64) if allows(confined, architecture, socket, family)] == [1, 2, 10, 16]
    none = seccomp.build_filter(machine, ())
    assert not any(allows(none, architecture, socket, family) for family in range(64))
    # The kernel reads only the lower half of the argument.
    assert not allows(confined, architecture, socket, VSOCK | 1 << 32)


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_other_calls_are_allowed_except_ways_around_the_filter(machine: str) -> None:
    native = {"x86_64": X86_64, "aarch64": AARCH64, "riscv64": RISCV64}[machine]
    refused = {
        "x86_64": {41, 248, 249, 250, 425},
        "aarch64": {198, 217, 218, 219, 425},
        "riscv64": {198, 217, 218, 219, 425},
    }
    program = seccomp.build_filter(machine, ())
    assert {number for number in range(600) if not allows(program, native, number)} == refused[machine]


def test_calls_of_unknown_tables_are_refused() -> None:
    program = seccomp.build_filter("x86_64", seccomp.CONFINED_FAMILIES)
    assert not allows(program, X86_64, 0x40000000 | 41, UNIX)
    assert not allows(program, ARM, 1)
    # The old call for all sockets, whose arguments lie in memory.
    assert not allows(program, I386, 102)
    assert allows(program, I386, 359, INET)
