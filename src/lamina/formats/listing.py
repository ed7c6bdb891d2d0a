"""What a store path on disk is made of, in columns: the compact form in which it is kept, sent and packed.

Invariant: ``Listing.parse(listing.dump()) == listing``, and bytes that are no listing end in `FormatError`; an entry
takes what its name takes and 17 bytes, so that half a million of them are held and read without making objects.

A listing is a row of chunks of at most 4096 entries in NAR order. A chunk is the number of its entries, the lengths
of its names and targets (three times 4 little-endian bytes), then a byte for each entry's kind, the names and the
targets of symlinks, each with a NUL between them, and the sizes and the stamps, 8 little-endian bytes each.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lamina.errors import FormatError

FOLDER, SYMLINK, FILE, PROGRAM = range(4)
Entry = tuple[int, bytes, int, int, bytes]
"""Kind, path relative to the store path, size in bytes, stamp as in `Extent`, target; 0 and empty where it has none."""

_AT_ONCE = 4096
_HEAD = struct.Struct("<3I")
_LENGTH = struct.Struct("<I")


def _string_size(length: int) -> int:
    """How many bytes a string of ``length`` takes in a NAR."""
    return 8 + length + -length % 8


def _tokens_size(*tokens: str) -> int:
    return sum(_string_size(len(token)) for token in tokens)


# What stands in a NAR before a name and around a node (formats/nar.py); a file's size is in 8 bytes before its content.
_HEADED = _tokens_size("nix-archive-1")
_ENTERED = _tokens_size("entry", "(", "name", "node")
_OPENED = _tokens_size("(", "type", "directory")
_LINKED = _tokens_size("(", "type", "symlink", "target")
_FILED = _tokens_size("(", "type", "regular", "contents") + 8
_PROGRAMMED = _FILED + _tokens_size("executable", "")
_CLOSED = _tokens_size(")", ")")


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of one store path."""

    chunks: tuple[bytes, ...]

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self.chunks:
            yield from _entries(chunk)

    def archived(self) -> Iterator[tuple[Entry, int]]:
        """The entries, each with the offset in the path's NAR at which its content begins, 0 where it has none.

        A NAR says nothing but what the entries say, so they say where everything in it is (formats/nar.py).
        """
        place, depth = _HEADED, 0
        for entry in self:
            kind, path, size, _, target = entry
            if path:
                level = path.count(b"/") + 1
                place += _CLOSED * (depth - level) + _ENTERED + _string_size(len(path) - path.rfind(b"/") - 1)
                depth = level
            if kind == FOLDER:
                depth += 1
                place += _OPENED
                yield entry, 0
            elif kind == SYMLINK:
                place += _LINKED + _string_size(len(target)) + (_CLOSED if path else _CLOSED // 2)
                yield entry, 0
            else:
                place += _FILED if kind == FILE else _PROGRAMMED
                yield entry, place
                place += size + -size % 8 + (_CLOSED if path else _CLOSED // 2)

    @property
    def weight(self) -> int:
        """How much memory it takes, in bytes."""
        return sum(map(len, self.chunks))

    def any_name(self, text: bytes) -> bool:
        """Whether ``text`` stands in any entry's path."""
        return any(text in _names(chunk) for chunk in self.chunks)

    @property
    def is_utf8(self) -> bool:
        """Whether every entry's path is UTF-8."""
        try:
            for chunk in self.chunks:
                _names(chunk).decode()
        except UnicodeDecodeError:
            return False
        return True

    def dump(self) -> bytes:
        """The chunks, each behind its length."""
        return b"".join(part for chunk in self.chunks for part in (_LENGTH.pack(len(chunk)), chunk))

    @classmethod
    def parse(cls, data: bytes) -> Listing:
        """The listing that was dumped; raises `FormatError`."""
        chunks = []
        place = 0
        while place < len(data):
            if len(data) - place < _LENGTH.size:
                raise FormatError(f"listing at byte {place}: got the end, expected a chunk's length")
            (length,) = _LENGTH.unpack_from(data, place)
            start = place + _LENGTH.size
            place = start + length
            chunks.append(_checked(data[start:place], length, start))
        return cls(tuple(chunks))


class Lister:
    """A `Listing` in the making."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._entries: list[Entry] = []

    def add(self, *entry: *Entry) -> None:
        """The next entry."""
        self._entries.append(entry)
        if len(self._entries) == _AT_ONCE:
            self._end()

    def listing(self) -> Listing:
        """All that was added."""
        if self._entries:
            self._end()
        return Listing(tuple(self._chunks))

    def _end(self) -> None:
        kinds, paths, sizes, stamps, targets = zip(*self._entries, strict=True)
        names, links = b"\0".join(paths), b"\0".join(target for target in targets if target)
        head = _HEAD.pack(len(kinds), len(names), len(links))
        self._chunks.append(b"".join((head, bytes(kinds), names, links, _packed(sizes), _packed(stamps))))
        self._entries = []


def _entries(chunk: bytes) -> Iterator[Entry]:
    count, names, targets = _HEAD.unpack_from(chunk)
    start = _HEAD.size + count
    kinds = chunk[_HEAD.size : start]
    paths = chunk[start : start + names].split(b"\0")
    links = iter(chunk[start + names : start + names + targets].split(b"\0"))
    numbers = start + names + targets
    sizes = _unpacked(chunk[numbers : numbers + 8 * count])
    stamps = _unpacked(chunk[numbers + 8 * count :])
    for kind, path, size, stamp in zip(kinds, paths, sizes, stamps, strict=True):
        yield kind, path, size, stamp, next(links) if kind == SYMLINK else b""


def _names(chunk: bytes) -> bytes:
    count, names, _ = _HEAD.unpack_from(chunk)
    return chunk[_HEAD.size + count : _HEAD.size + count + names]


def _checked(chunk: bytes, length: int, place: int) -> bytes:
    if len(chunk) < length or length < _HEAD.size:
        raise FormatError(f"listing at byte {place}: got {len(chunk)} bytes, expected a chunk of {length}")
    count, names, targets = _HEAD.unpack_from(chunk)
    if not 0 < count <= _AT_ONCE or length != _HEAD.size + 17 * count + names + targets:
        raise FormatError(f"listing at byte {place}: got a chunk of {length} bytes, expected one of {count} entries")
    kinds = chunk[_HEAD.size : _HEAD.size + count]
    links = kinds.count(SYMLINK)
    start = _HEAD.size + count
    listed = chunk[start : start + names].count(b"\0") + 1, chunk[start + names :][:targets].count(b"\0") + bool(links)
    if max(kinds) > PROGRAM or listed != (count, links) or (targets and not links):
        raise FormatError(f"listing at byte {place}: got names that do not fit, expected {count}, {links} of symlinks")
    return chunk


def _packed(numbers: Sequence[int]) -> bytes:
    return _little(array("q", numbers)).tobytes()


def _unpacked(data: bytes) -> array[int]:
    return _little(array("q", data))


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
