"""Find the first difference between two tars of store paths, and name the file that it is in.

Both tars are streams, so neither has to be on this machine, and memory does not grow with their size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lamina.core.names import STORE_DIR, StorePath
from lamina.core.nodes import Extent
from lamina.errors import FormatError, IntegrityError, InvalidArgument
from lamina.formats.tar import padded_size
from lamina.formats.tar_reader import EntryKind, TarHeader, read_headers
from lamina.layers.packed import PackedLayer
from lamina.messages.redaction import short_repr
from lamina.system.extents import iter_extent

OpenTar = Callable[[], Iterator[bytes]]
"""A function that opens a tar and yields its bytes from the beginning."""

UNKNOWN_LENGTH = 1 << 62
"""The length to give to `read_headers` for a tar whose length is unknown."""
_STORE_MEMBER = re.compile(rb"/*%s/([^/]+)" % STORE_DIR[1:].encode())
# The fields of a header that are compared, and how a value is written.
_FIELDS: tuple[tuple[str, Callable[[TarHeader], str]], ...] = (
    ("type", lambda header: header.kind.value),
    ("mode", lambda header: f"{header.mode:04o}"),
    ("size", lambda header: str(header.size)),
    ("target", lambda header: _decode(header.target)),
    ("mtime", lambda header: str(header.mtime)),
    ("uid", lambda header: str(header.uid)),
    ("gid", lambda header: str(header.gid)),
    ("uname", lambda header: _decode(header.uname)),
    ("gname", lambda header: _decode(header.gname)),
    ("extended attributes", lambda header: ", ".join(_decode(name) for name, _ in header.xattrs) or "none"),
)


@dataclass(frozen=True, slots=True)
class TarDifference:
    """The first difference between the tar of a layer and the tar that its store paths give.

    Attributes:
        path: the store path that it is in; None if it is in none.
        file: the name of the file that differs.
        got: what the layer has there.
        expected: what the store paths give.
    """

    path: StorePath | None
    file: str
    got: str
    expected: str

    def __str__(self) -> str:
        return str(IntegrityError(self.file, self.got, self.expected))


class ForwardReader:
    """Reads a stream at offsets that never decrease, as `read_headers` needs it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._data = bytearray()
        self._start = 0

    def __call__(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes at ``offset``, or less at the end of the stream."""
        self._drop(offset)
        while self._start < offset or len(self._data) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._data += piece
            self._drop(offset)
        return bytes(self._data[:size]) if self._start == offset else b""

    def _drop(self, offset: int) -> None:
        count = min(max(offset - self._start, 0), len(self._data))
        del self._data[:count]
        self._start += count


def read_pieces(packed: PackedLayer) -> Iterator[bytes]:
    """Yield the bytes of a packed layer."""
    for piece in packed.pieces:
        if isinstance(piece, Extent):
            yield from iter_extent(piece)
        else:
            yield piece


def find_store_path(name: bytes) -> StorePath | None:
    """Return the store path that the member ``name`` of a tar is in, or None."""
    match = _STORE_MEMBER.match(name)
    try:
        return StorePath.parse_base(match[1].decode("utf-8", "surrogateescape")) if match else None
    except InvalidArgument:
        return None


def find_difference(expected: OpenTar, actual: OpenTar) -> TarDifference | None:
    """Return the first difference of ``actual`` from ``expected``, a valid tar; None if the bytes are the same."""
    offset = _find_offset(expected(), actual())
    if offset is None:
        return None
    headers = read_headers(ForwardReader(expected()), UNKNOWN_LENGTH)
    for number, header in enumerate(headers):
        if offset < header.start + padded_size(header.size):
            if offset >= header.start:
                return _describe_content(header, offset)
            return _describe_header(header, _read_header(actual(), number), headers)
        last = header
    found = _read_header(actual(), number + 1)
    name = found.name if isinstance(found, TarHeader) else last.name
    return TarDifference(find_store_path(name), _decode(name), "bytes after the last file", "the end of the layer")


def _find_offset(one: Iterable[bytes], other: Iterable[bytes]) -> int | None:
    """Return the offset of the first byte that differs, or None."""
    left, right = filter(None, one), filter(None, other)
    a = b = memoryview(b"")
    offset = 0
    while True:
        a, b = a or memoryview(next(left, b"")), b or memoryview(next(right, b""))
        if not a or not b:
            return offset if a or b else None
        length = min(len(a), len(b))
        x, y = bytes(a[:length]), bytes(b[:length])
        if x != y:
            return offset + next(index for index in range(length) if x[index] != y[index])
        offset, a, b = offset + length, a[length:], b[length:]


def _read_header(pieces: Iterator[bytes], number: int) -> TarHeader | FormatError | None:
    """Return the header of member ``number``, counted from 0; the error if it is invalid, None if there is none."""
    try:
        for index, header in enumerate(read_headers(ForwardReader(pieces), UNKNOWN_LENGTH)):
            if index == number:
                return header
    except FormatError as error:
        return error
    return None


def _describe_content(header: TarHeader, offset: int) -> TarDifference:
    position = offset - header.start
    where = f"at byte {position} of {header.size}" if position < header.size else "in the padding after it"
    return _make_difference(header, f"other content {where}", "the content in the store")


def _describe_header(
    header: TarHeader, found: TarHeader | FormatError | None, later: Iterable[TarHeader]
) -> TarDifference:
    """Return the difference of the header ``found`` from ``header``; ``later`` are the headers expected after it."""
    kind = "folder" if header.kind is EntryKind.DIRECTORY else header.kind.value
    if found is None:
        return _make_difference(header, "nothing", f"a {kind}")
    if isinstance(found, FormatError):
        return _make_difference(header, f"an invalid header ({found.subject})", f"the header of a {kind}")
    if found.name != header.name:
        if any(other.name == found.name for other in later):
            return _make_difference(header, "nothing", f"a {kind}")
        return _make_difference(found, f"a {found.kind.value}", "nothing")
    values = ((name, write(found), write(header)) for name, write in _FIELDS)
    name, got, expected = next((value for value in values if value[1] != value[2]), ("header", "another form", ""))
    if name == "header":
        return _make_difference(header, "a header in another form", "the header that lamina and nixpkgs write")
    return _make_difference(header, f"{name} {short_repr(got)}", short_repr(expected))


def _make_difference(header: TarHeader, got: str, expected: str) -> TarDifference:
    return TarDifference(find_store_path(header.name), _decode(header.name), got, expected)


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
