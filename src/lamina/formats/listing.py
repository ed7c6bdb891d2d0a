"""The entries of a store path in a compact, columnar form, which is stored in the layer cache and sent to workers.

An entry takes 17 bytes and its name. Half a million entries can be stored and read without creating an object for each.

Invariant: ``Listing.parse(listing.dump()) == listing``.

A listing is a sequence of chunks of at most 4096 entries in NAR order. A chunk has the number of its entries, the
length of its paths and the length of its targets (4 little-endian bytes each); then the kind of each entry (1 byte),
the paths and the targets of symlinks, both separated by NUL, and the sizes and the mtimes (8 little-endian bytes each).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lamina.core.nodes import Content, Directory, Node, Regular, Symlink, is_utf8
from lamina.errors import FormatError

FOLDER, SYMLINK, FILE, EXECUTABLE = range(4)
ListingEntry = tuple[int, bytes, int, bytes, int]
"""The first four fields of an `Entry`, then ``mtime_ns`` as in `Extent`. Fields that do not apply are 0 or empty."""

_CHUNK_ENTRIES = 4096
_CHUNK_HEADER = struct.Struct("<3I")
_LENGTH = struct.Struct("<I")


class Entry(NamedTuple):
    """A node in the form that the packer and a listing use.

    The fields are the kind, the path below the store path, the size in bytes, the target and the content. Fields that
    do not apply to the kind are 0 or empty. This is a named tuple, which is faster to create than a dataclass, because
    there is one for every file of an image.
    """

    kind: int
    path: bytes
    size: int
    target: bytes
    content: Content

    @classmethod
    def from_node(cls, node: Node) -> Entry:
        """Return the entry for ``node``."""
        match node:
            case Regular(path, executable, size, content):
                return cls(EXECUTABLE if executable else FILE, path, size, b"", content)
            case Symlink(path, target):
                return cls(SYMLINK, path, 0, target, b"")
            case Directory(path):
                return cls(FOLDER, path, 0, b"", b"")


def _string_size(length: int) -> int:
    """Return how many bytes a string of ``length`` bytes takes in a NAR."""
    return 8 + length + -length % 8


def _tokens_size(*tokens: str) -> int:
    return sum(_string_size(len(token)) for token in tokens)


# The sizes of the tokens of a NAR (formats/nar.py). The content of a file follows its size in 8 bytes.
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
            yield from _unpack_entries(chunk)

    def with_nar_offsets(self) -> Iterator[tuple[ListingEntry, int]]:
        """Yield each entry with the offset of its content in the NAR of the store path, 0 if it has no content.

        The entries determine every byte of a NAR except the contents, so the offsets can be computed (formats/nar.py).
        """
        offset, depth = _MAGIC_SIZE, 0
        for entry in self:
            kind, path, size, target, _ = entry
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
        """The memory that this listing takes, in bytes."""
        return sum(map(len, self.chunks))

    def contains_name(self, text: bytes) -> bool:
        """Return whether ``text`` occurs in the path of an entry."""
        return any(text in _unpack_paths(chunk) for chunk in self.chunks)

    @property
    def is_utf8(self) -> bool:
        """Whether the paths of all entries are UTF-8."""
        return all(is_utf8(_unpack_paths(chunk)) for chunk in self.chunks)

    def dump(self) -> bytes:
        """Return the chunks, each preceded by its length in 4 little-endian bytes."""
        return b"".join(part for chunk in self.chunks for part in (_LENGTH.pack(len(chunk)), chunk))

    @classmethod
    def parse(cls, data: bytes) -> Listing:
        """Parse what `dump` returned. Raises `FormatError`."""
        chunks = []
        offset = 0
        while offset < len(data):
            if len(data) - offset < _LENGTH.size:
                raise FormatError(f"listing at byte {offset}", "the end", "a chunk's length")
            (length,) = _LENGTH.unpack_from(data, offset)
            start = offset + _LENGTH.size
            offset = start + length
            chunks.append(_check_chunk(data[start:offset], length, start))
        return cls(tuple(chunks))


class ListingBuilder:
    """A builder for a `Listing`, one entry at a time."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._entries: list[ListingEntry] = []

    def add(self, *entry: *ListingEntry) -> None:
        """Append an entry; entries come in NAR order."""
        self._entries.append(entry)
        if len(self._entries) == _CHUNK_ENTRIES:
            self._end_chunk()

    def build(self) -> Listing:
        """Return the listing of all entries that were added."""
        if self._entries:
            self._end_chunk()
        return Listing(tuple(self._chunks))

    def _end_chunk(self) -> None:
        kinds, paths, sizes, targets, mtimes = zip(*self._entries, strict=True)
        joined_paths, joined_targets = b"\0".join(paths), b"\0".join(target for target in targets if target)
        head = _CHUNK_HEADER.pack(len(kinds), len(joined_paths), len(joined_targets))
        self._chunks.append(
            b"".join((head, bytes(kinds), joined_paths, joined_targets, _pack_numbers(sizes), _pack_numbers(mtimes)))
        )
        self._entries = []


def _unpack_entries(chunk: bytes) -> Iterator[ListingEntry]:
    count, paths_size, targets_size = _CHUNK_HEADER.unpack_from(chunk)
    start = _CHUNK_HEADER.size + count
    kinds = chunk[_CHUNK_HEADER.size : start]
    paths = chunk[start : start + paths_size].split(b"\0")
    links = iter(chunk[start + paths_size : start + paths_size + targets_size].split(b"\0"))
    numbers = start + paths_size + targets_size
    sizes = _unpack_numbers(chunk[numbers : numbers + 8 * count])
    mtimes = _unpack_numbers(chunk[numbers + 8 * count :])
    targets = [next(links) if kind == SYMLINK else b"" for kind in kinds]
    return zip(kinds, paths, sizes, targets, mtimes, strict=True)


def _unpack_paths(chunk: bytes) -> bytes:
    count, paths_size, _ = _CHUNK_HEADER.unpack_from(chunk)
    return chunk[_CHUNK_HEADER.size + count : _CHUNK_HEADER.size + count + paths_size]


def _check_chunk(chunk: bytes, length: int, offset: int) -> bytes:
    if len(chunk) < length or length < _CHUNK_HEADER.size:
        raise FormatError(f"listing at byte {offset}", f"{len(chunk)} bytes", f"a chunk of {length}")
    count, paths_size, targets_size = _CHUNK_HEADER.unpack_from(chunk)
    if not 0 < count <= _CHUNK_ENTRIES or length != _CHUNK_HEADER.size + 17 * count + paths_size + targets_size:
        raise FormatError(f"listing at byte {offset}", f"a chunk of {length} bytes", f"one of {count} entries")
    kinds = chunk[_CHUNK_HEADER.size : _CHUNK_HEADER.size + count]
    links = kinds.count(SYMLINK)
    start = _CHUNK_HEADER.size + count
    listed = (
        chunk[start : start + paths_size].count(b"\0") + 1,
        chunk[start + paths_size :][:targets_size].count(b"\0") + bool(links),
    )
    if max(kinds) > EXECUTABLE or listed != (count, links) or (targets_size and not links):
        raise FormatError(f"listing at byte {offset}", "names that do not fit", f"{count}, {links} of symlinks")
    return chunk


def _pack_numbers(numbers: Sequence[int]) -> bytes:
    return _little_endian(array("q", numbers)).tobytes()


def _unpack_numbers(data: bytes) -> array[int]:
    return _little_endian(array("q", data))


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
