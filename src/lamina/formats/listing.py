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

FOLDER, SYMLINK, FILE, EXECUTABLE = range(4)
ListingEntry = tuple[int, bytes, int, int, bytes]
"""Kind, path relative to the store path, size in bytes, stamp as in `Extent`, target; 0 and empty where it has none."""

_CHUNK_ENTRIES = 4096
_HEAD = struct.Struct("<3I")
_LENGTH = struct.Struct("<I")


def _string_size(length: int) -> int:
    """How many bytes a string of ``length`` takes in a NAR."""
    return 8 + length + -length % 8


def _tokens_size(*tokens: str) -> int:
    return sum(_string_size(len(token)) for token in tokens)


# What stands in a NAR before a name and around a node (formats/nar.py); a file's size is in 8 bytes before its content.
_MAGIC_SIZE = _tokens_size("nix-archive-1")
_ENTRY_SIZE = _tokens_size("entry", "(", "name", "node")
_DIRECTORY_SIZE = _tokens_size("(", "type", "directory")
_SYMLINK_SIZE = _tokens_size("(", "type", "symlink", "target")
_FILE_SIZE = _tokens_size("(", "type", "regular", "contents") + 8
_EXECUTABLE_SIZE = _FILE_SIZE + _tokens_size("executable", "")
_CLOSE_SIZE = _tokens_size(")", ")")


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of one store path."""

    chunks: tuple[bytes, ...]

    def __iter__(self) -> Iterator[ListingEntry]:
        for chunk in self.chunks:
            yield from _entries(chunk)

    def with_nar_offsets(self) -> Iterator[tuple[ListingEntry, int]]:
        """The entries, each with the offset in the path's NAR at which its content begins, 0 where it has none.

        A NAR says nothing but what the entries say, so they say where everything in it is (formats/nar.py).
        """
        offset, depth = _MAGIC_SIZE, 0
        for entry in self:
            kind, path, size, _, target = entry
            if path:
                level = path.count(b"/") + 1
                offset += _CLOSE_SIZE * (depth - level) + _ENTRY_SIZE + _string_size(len(path) - path.rfind(b"/") - 1)
                depth = level
            if kind == FOLDER:
                depth += 1
                offset += _DIRECTORY_SIZE
                yield entry, 0
            elif kind == SYMLINK:
                offset += _SYMLINK_SIZE + _string_size(len(target)) + (_CLOSE_SIZE if path else _CLOSE_SIZE // 2)
                yield entry, 0
            else:
                offset += _FILE_SIZE if kind == FILE else _EXECUTABLE_SIZE
                yield entry, offset
                offset += size + -size % 8 + (_CLOSE_SIZE if path else _CLOSE_SIZE // 2)

    @property
    def memory_size(self) -> int:
        """How much memory it takes, in bytes."""
        return sum(map(len, self.chunks))

    def contains_name(self, text: bytes) -> bool:
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
        offset = 0
        while offset < len(data):
            if len(data) - offset < _LENGTH.size:
                raise FormatError(f"listing at byte {offset}: got the end, expected a chunk's length")
            (length,) = _LENGTH.unpack_from(data, offset)
            start = offset + _LENGTH.size
            offset = start + length
            chunks.append(_check_chunk(data[start:offset], length, start))
        return cls(tuple(chunks))


class ListingBuilder:
    """A `Listing` in the making."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._entries: list[ListingEntry] = []

    def add(self, *entry: *ListingEntry) -> None:
        """The next entry."""
        self._entries.append(entry)
        if len(self._entries) == _CHUNK_ENTRIES:
            self._end_chunk()

    def build(self) -> Listing:
        """All that was added."""
        if self._entries:
            self._end_chunk()
        return Listing(tuple(self._chunks))

    def _end_chunk(self) -> None:
        kinds, paths, sizes, mtimes, targets = zip(*self._entries, strict=True)
        names, links = b"\0".join(paths), b"\0".join(target for target in targets if target)
        head = _HEAD.pack(len(kinds), len(names), len(links))
        self._chunks.append(b"".join((head, bytes(kinds), names, links, _pack_numbers(sizes), _pack_numbers(mtimes))))
        self._entries = []


def _entries(chunk: bytes) -> Iterator[ListingEntry]:
    count, names, targets = _HEAD.unpack_from(chunk)
    start = _HEAD.size + count
    kinds = chunk[_HEAD.size : start]
    paths = chunk[start : start + names].split(b"\0")
    links = iter(chunk[start + names : start + names + targets].split(b"\0"))
    numbers = start + names + targets
    sizes = _unpack_numbers(chunk[numbers : numbers + 8 * count])
    mtimes = _unpack_numbers(chunk[numbers + 8 * count :])
    for kind, path, size, mtime_ns in zip(kinds, paths, sizes, mtimes, strict=True):
        yield kind, path, size, mtime_ns, next(links) if kind == SYMLINK else b""


def _names(chunk: bytes) -> bytes:
    count, names, _ = _HEAD.unpack_from(chunk)
    return chunk[_HEAD.size + count : _HEAD.size + count + names]


def _check_chunk(chunk: bytes, length: int, offset: int) -> bytes:
    if len(chunk) < length or length < _HEAD.size:
        raise FormatError(f"listing at byte {offset}: got {len(chunk)} bytes, expected a chunk of {length}")
    count, names, targets = _HEAD.unpack_from(chunk)
    if not 0 < count <= _CHUNK_ENTRIES or length != _HEAD.size + 17 * count + names + targets:
        raise FormatError(f"listing at byte {offset}: got a chunk of {length} bytes, expected one of {count} entries")
    kinds = chunk[_HEAD.size : _HEAD.size + count]
    links = kinds.count(SYMLINK)
    start = _HEAD.size + count
    listed = chunk[start : start + names].count(b"\0") + 1, chunk[start + names :][:targets].count(b"\0") + bool(links)
    if max(kinds) > EXECUTABLE or listed != (count, links) or (targets and not links):
        raise FormatError(f"listing at byte {offset}: got names that do not fit, expected {count}, {links} of symlinks")
    return chunk


def _pack_numbers(numbers: Sequence[int]) -> bytes:
    return _little_endian(array("q", numbers)).tobytes()


def _unpack_numbers(data: bytes) -> array[int]:
    return _little_endian(array("q", data))


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
