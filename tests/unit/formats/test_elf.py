"""The ELF header: processors by their numbers, and files that are not programs."""

import sys
from pathlib import Path

import pytest

from lamina.formats.elf import HEADER_SIZE, parse_architecture


def header(machine: int, *, bits: int = 64, order: str = "little", kind: int = 2) -> bytes:
    """Return the start of an ELF file (System V ABI, figure 4-3)."""
    identification = b"\x7fELF" + bytes([bits // 32, 1 if order == "little" else 2, 1]) + bytes(9)
    big = order == "big"
    return identification + b"".join(number.to_bytes(2, "big" if big else "little") for number in (kind, machine))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (header(62), "amd64"),
        (header(183), "arm64"),
        (header(3, bits=32), "386"),
        (header(40, bits=32), "arm"),
        (header(243), "riscv64"),
        (header(258), "loong64"),
        (header(21), "ppc64le"),
        (header(21, order="big"), "ppc64"),
        (header(22, order="big"), "s390x"),
        (header(8, bits=32), "mipsle"),
        (header(8, bits=32, order="big"), "mips"),
        (header(8), "mips64le"),
        (header(8, order="big"), "mips64"),
        (header(62, kind=3) + b"more", "amd64"),
    ],
)
def test_the_architecture_of_a_program_is_known(found: bytes, expected: str) -> None:
    assert len(found) >= HEADER_SIZE
    assert parse_architecture(found) == expected


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"\x7fELF",
        header(62)[:-1],
        b"#!/bin/sh\necho this is no program\n",
        b"MZ" + bytes(100),
        header(62, bits=32),  # x32, which Go has no word for
        header(0),
        header(243, bits=32),
        header(40, bits=32, order="big"),
        header(183, order="big"),
        bytes(HEADER_SIZE),
    ],
)
def test_other_files_have_no_architecture(found: bytes) -> None:
    assert parse_architecture(found) is None


@pytest.mark.skipif(sys.platform != "linux", reason="programs are ELF files on Linux")
def test_the_running_python_has_an_architecture() -> None:
    with Path(sys.executable).open("rb") as file:
        assert parse_architecture(file.read(HEADER_SIZE)) is not None
