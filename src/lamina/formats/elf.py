"""The part of an ELF header that names the processor of a program.

Only the first 20 bytes of a file are needed.
"""

from __future__ import annotations

HEADER_SIZE = 20
# Values of the bytes EI_CLASS and EI_DATA.
_64_BIT = 2
_BIG_ENDIAN = 2
# Maps e_machine (System V ABI, registry of machine values), whether the program is 64-bit, and whether it is big-endian
# to Go's GOARCH, which images use (OCI image-spec, config.md, "architecture").
_ARCHITECTURES = {
    (3, False, False): "386",
    (8, False, False): "mipsle",
    (8, False, True): "mips",
    (8, True, False): "mips64le",
    (8, True, True): "mips64",
    (21, True, False): "ppc64le",
    (21, True, True): "ppc64",
    (22, True, True): "s390x",
    (40, False, False): "arm",
    (62, True, False): "amd64",
    (183, True, False): "arm64",
    (243, True, False): "riscv64",
    (258, True, False): "loong64",
}


def parse_architecture(header: bytes) -> str | None:
    """Return the GOARCH of a program from its first bytes, or None for other files and unknown processors."""
    if len(header) < HEADER_SIZE or header[:4] != b"\x7fELF":
        return None
    is_64_bit, is_big_endian = header[4] == _64_BIT, header[5] == _BIG_ENDIAN
    machine = int.from_bytes(header[18:20], "big" if is_big_endian else "little")
    return _ARCHITECTURES.get((machine, is_64_bit, is_big_endian))
