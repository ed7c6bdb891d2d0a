"""Programs of several processors, which nothing runs."""

from __future__ import annotations

from tests.support.fake_nix_store import Program

MACHINES = {"linux/amd64": 62, "linux/arm64": 183}


def program(machine: int) -> Program:
    """Return an ELF file of the machine number (ELF specification, e_machine)."""
    return Program(b"\x7fELF\2\1\1" + bytes(9) + b"\2\0" + machine.to_bytes(2, "little") + bytes(100))
