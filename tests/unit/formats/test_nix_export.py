"""The format of nix-store --export: its bytes, parsing, and invalid exports."""

import io
from collections.abc import Callable, Iterable

import pytest
from tests.support.factories import File, Item, Link, nodes, packed_bytes

from lamina.core.names import StorePath
from lamina.errors import FormatError
from lamina.formats import nar, nix_export
from lamina.formats.nix_export import END, NEXT, ExportedPath
from lamina.layers.packed import PackedLayer

FLAG = "export: got bytes of another format, expected 1 or 0 for {}"

HELLO = StorePath.parse_base("2g13aaaa0000000000000000000000ab-hello-2.10")
GLIBC = StorePath.parse_base("0s9qbbbb000000000000000000000000-glibc-2.33-59")
DERIVER = "1111aaaa0000000000000000000000ab-hello-2.10.drv"
BARE = ExportedPath(GLIBC, frozenset())
FULL = ExportedPath(HELLO, frozenset({HELLO, GLIBC}), DERIVER)
BIG: Item = {b"a": File(b"x" * 200_000), b"b": {b"c": Link(b"d"), b"d": File(b"1234567", executable=True)}}


def nar_of(item: Item) -> bytes:
    return packed_bytes(PackedLayer(0, iter(nar.dump(nodes(item)))))


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def string(text: str) -> bytes:
    return number(len(text)) + text.encode() + bytes(-len(text) % 8)


def exported(*paths: tuple[bytes, ExportedPath]) -> bytes:
    return b"".join(NEXT + data + found.dump() for data, found in paths) + END


def parsed(data: bytes, portion: int = 1 << 20) -> tuple[list[tuple[bytes, ExportedPath]], bytes]:
    """Return the paths with their NARs, and the bytes that were not read."""
    stream, passed = io.BytesIO(data), io.BytesIO()
    paths = []
    for found in nix_export.parse(lambda size: stream.read(min(size, portion)), passed.write):
        paths.append((passed.getvalue(), found))
        passed.seek(0)
        passed.truncate()
    assert not passed.getvalue()
    return paths, stream.read()


PATHS = [(nar_of({}), BARE), (nar_of(BIG), FULL)]
DATA = exported(*PATHS)


def test_an_export_is_as_in_the_docstring_of_the_module() -> None:
    tail = number(0x4558494E) + string(str(HELLO)) + number(2) + string(str(GLIBC)) + string(str(HELLO))
    tail += string(f"/nix/store/{DERIVER}") + number(0)
    assert FULL.dump() == tail
    assert BARE.dump() == number(0x4558494E) + string(str(GLIBC)) + number(0) + string("") + number(0)
    assert exported((nar_of({}), BARE)) == number(1) + nar_of({}) + BARE.dump() + number(0)


@pytest.mark.parametrize("portion", [1, 7, 4096, 1 << 20])
def test_an_export_parses_back(portion: int) -> None:
    assert parsed(DATA, portion) == (PATHS, b"")


def test_an_export_may_be_empty() -> None:
    assert parsed(END) == ([], b"")


def test_nothing_is_read_beyond_the_end() -> None:
    assert parsed(DATA + b"more") == (PATHS, b"more")


def test_a_signature_of_nix_1_is_ignored() -> None:
    signed = BARE.dump()[:-8] + number(1) + string("2;key-1;AAAA")
    assert parsed(NEXT + nar_of({}) + signed + END) == ([(nar_of({}), BARE)], b"")


def test_a_nar_is_written_while_it_is_read() -> None:
    """The NAR is not kept in memory: its first bytes are written before its last are read."""
    stream = io.BytesIO(exported((nar_of(File(bytes(1 << 20))), BARE)))
    reached: list[int] = []

    def write(data: bytes) -> None:
        reached.append(stream.tell())

    assert list(nix_export.parse(stream.read, write)) == [BARE]
    assert reached[0] < 1 << 18
    assert len(reached) > 8


def test_copy_returns_the_size_and_stops_after_the_archive() -> None:
    data = nar_of(BIG)
    stream, passed = io.BytesIO(data + b"more"), io.BytesIO()
    assert nar.copy(stream.read, passed.write) == len(data)
    assert passed.getvalue() == data
    assert stream.read() == b"more"


# --- garbage


def swapped(old: bytes, new: bytes) -> bytes:
    assert DATA.count(old) >= 1
    return DATA.replace(old, new, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "export: got the end, expected 8 more bytes"),
        (b"<html>", "export: got the end, expected 2 more bytes"),
        (number(2), FLAG.format("the next path or the end")),
        (NEXT + b"x" * 100, "NAR at byte 8: got a string of 8680820740569200760 bytes, expected at most 65536"),
        (swapped(number(0x4558494E), number(1)), "export: got 0x1 after a NAR, expected 0x4558494e"),
        (
            swapped(string(str(GLIBC)), string("/etc/passwd")),
            "export: store path: got '/etc/passwd', expected /nix/store/HASH-NAME",
        ),
        (swapped(string(str(GLIBC)), number(4097)), "export: got a string of 4097 bytes, expected at most 4096"),
        (
            swapped(string(str(GLIBC)), string("abc")[:-1] + b"x"),
            "export: got padding that is not zero, expected zeros",
        ),
        (swapped(string(str(GLIBC)), number(8) + b"\xff" * 8), None),
        (
            exported((nar_of({}), BARE)).replace(string(str(GLIBC)) + number(0), string(str(GLIBC)) + number(1 << 63)),
            f"export of {GLIBC}: got {1 << 63} references, expected at most 65536",
        ),
        (
            exported((nar_of({}), BARE))[:-16] + number(7),
            FLAG.format("a signature or none"),
        ),
        (swapped(string(f"/nix/store/{DERIVER}"), string(DERIVER)), None),
        (DATA[:-1], "export: got the end, expected 1 more bytes"),
    ],
)
def test_garbage_is_refused(data: bytes, message: str | None) -> None:
    with pytest.raises(FormatError, match=r"^(export|NAR at byte)") as caught:
        parsed(data)
    assert message is None or str(caught.value) == message


def test_a_truncated_export_is_refused() -> None:
    data = exported((nar_of({b"a": File(b"hi"), b"b": Link(b"a")}), FULL))
    for end in range(len(data)):
        with pytest.raises(FormatError, match="got the end, expected"):
            parsed(data[:end])


def test_a_content_beyond_the_end_is_refused_at_the_end() -> None:
    """The size of a NAR is unknown before its end, so all bytes are copied before the error."""
    head = nar_of(File(b"hi"))[:-32]
    for size in (1 << 30, (1 << 63) - 1, (1 << 64) - 8):
        with pytest.raises(FormatError, match=r"^NAR at byte \d+: got the end, expected "):
            parsed(NEXT + head + number(size) + b"x" * 100)


def endless(pieces: Iterable[bytes]) -> Callable[[int], bytes]:
    source = io.BytesIO(b"".join(pieces))
    return lambda size: source.read(size) or bytes(min(size, 1 << 16))


def test_endless_zeros_after_a_nar_are_refused() -> None:
    with pytest.raises(FormatError, match="got 0x0 after a NAR"):
        list(nix_export.parse(endless([NEXT, nar_of({})]), len))
