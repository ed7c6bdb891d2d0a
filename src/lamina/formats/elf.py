"""The ELF header, as far as it names a processor.

Invariant: needs the first 20 bytes of a file and nothing else.
"""

from __future__ import annotations

HEADER_SIZE = 20
_BIG_ENDIAN = 2
# e_machine (System V ABI, registry of machine values), with 64-bit and little-endian where that tells two apart,
# to Go's GOARCH, which is what images carry (OCI image-spec, config.md, "architecture").
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
    """The GOARCH of the program whose first bytes are ``header``; None for what is no ELF file we know."""
    if len(header) < HEADER_SIZE or header[:4] != b"\x7fELF":
        return None
    wide, big = header[4] == 2, header[5] == _BIG_ENDIAN
    machine = int.from_bytes(header[18:20], "big" if big else "little")
    return _ARCHITECTURES.get((machine, wide, big))
