"""The Nix archive (NAR): the serialisation of a store path that Nix hashes and binary caches serve.

Invariant: ``dump(parse(nar)) == nar``. Bytes that `dump` could not have written raise `FormatError`.

The format is described in E. Dolstra's thesis (The Purely Functional Software Deployment Model, figure 5.2) and in the
Nix manual ("Nix Archive format"). A string is written as its length in 8 little-endian bytes, its bytes, and zeros up
to the next multiple of 8. A regular file with the content ``hi`` is::

    "nix-archive-1" "(" "type" "regular" "contents" "hi" ")"
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from lamina.core.nodes import Content, Directory, Extent, Node, Regular, Symlink
from lamina.errors import FormatError
from lamina.messages.redaction import short_repr

MAGIC = b"nix-archive-1"
# The deepest nesting of folders. Nix accepts 64 levels; real trees are far below both limits.
MAX_DEPTH = 1024
# The longest name or symlink target in bytes. No file system accepts a longer one.
MAX_TOKEN = 65536
# The longest path below the store path in bytes, because each entry costs memory and time in proportion to its path.
# Operating systems accept 4096 bytes at most.
MAX_PATH = 16384
# How many bytes `copy` reads and writes at a time.
_CHUNK_SIZE = 1 << 16
_PADDING = (b"", bytes(7), bytes(6), bytes(5), bytes(4), bytes(3), bytes(2), bytes(1))


def dump(nodes: Iterable[Node]) -> Iterator[bytes | Extent]:
    """Yield the archive of ``nodes``, which must be in NAR order, as pieces: bytes, and the contents of files."""
    text = bytearray(_dump_string(MAGIC))
    folders: list[bytes] = []
    for node in nodes:
        while folders and not _is_inside(node.path, folders[-1]):
            text += _dump_close(folders)
        if node.path:
            text += dump_strings(b"entry", b"(", b"name", node.path.rpartition(b"/")[2], b"node")
        text += dump_strings(b"(", b"type")
        match node:
            case Directory():
                text += _dump_string(b"directory")
                folders.append(node.path)
                continue
            case Symlink():
                text += dump_strings(b"symlink", b"target", node.target)
            case Regular():
                text += _dump_string(b"regular")
                if node.executable:
                    text += dump_strings(b"executable", b"")
                text += _dump_string(b"contents") + node.size.to_bytes(8, "little")
                yield bytes(text)
                yield node.content
                text = bytearray(_PADDING[node.size % 8])
        text += _dump_string(b")") if not node.path else dump_strings(b")", b")")
    while folders:
        text += _dump_close(folders)
    yield bytes(text)


class ByteStream(Protocol):
    """The methods of a binary file that the parser uses."""

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move by ``offset`` bytes, or as `io.IOBase.seek` does, and return the new position."""

    def tell(self) -> int:
        """Return the position."""


def parse(stream: ByteStream, content: Callable[[int, int], Content]) -> Iterator[Node]:
    """Parse the archive that fills the rest of a seekable stream, and yield its nodes in NAR order.

    The memory that this takes grows only with the depth of the tree.

    Args:
        stream: the archive.
        content: a function from the offset (from the start of the archive) and size of a file's bytes to the
            content of its node.

    Raises:
        FormatError: the archive is invalid; the message has the offset.

    """
    start = stream.tell()
    size = stream.seek(0, io.SEEK_END) - start
    stream.seek(start)
    return _Parser(stream, content, size).parse()


def parse_bytes(data: bytes) -> Iterator[Node]:
    """Parse an archive in memory and yield its nodes. Raises `FormatError`."""
    return parse(io.BytesIO(data), lambda offset, size: data[offset : offset + size])


def copy(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> int:
    """Copy the next archive of a stream, read nothing beyond its end, and return its size in bytes.

    Args:
        read: a function that returns up to a given number of bytes, and none at the end.
        write: a function that takes the bytes of the archive.

    Raises:
        FormatError: the archive is invalid; the message has the offset. Part of it may have been written.

    """
    stream = _CopyStream(read, write)
    # The size of the archive is unknown before its end has been read.
    for _ in _Parser(stream, lambda *_: b"", 1 << 64).parse_nodes():
        pass
    stream.flush()
    return stream.tell()


class _CopyStream:
    """A `ByteStream` over a source that cannot seek; it writes all bytes that the parser reads or skips."""

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], object]) -> None:
        self._source = read
        self._write = write
        self._buffer = bytearray()
        self._position = 0

    def read(self, size: int, /) -> bytes:
        data = self._source(size)
        while len(data) < size and (more := self._source(size - len(data))):
            data += more
        self._forward(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move forward by ``offset`` bytes, or to the end of the source."""
        while offset and (data := self._source(min(offset, _CHUNK_SIZE))):
            offset -= len(data)
            self._forward(data)
        return self._position

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._write(bytes(self._buffer))
        self._buffer.clear()

    def _forward(self, data: bytes) -> None:
        self._position += len(data)
        self._buffer += data
        if len(self._buffer) >= _CHUNK_SIZE:
            self.flush()


class _Parser:
    def __init__(self, stream: ByteStream, content: Callable[[int, int], Content], size: int) -> None:
        self._stream = stream
        self._content = content
        self._position = 0
        self._size = size

    def parse(self) -> Iterator[Node]:
        yield from self.parse_nodes()
        if self._stream.read(1):
            raise self._error("more bytes", "the end")

    def parse_nodes(self) -> Iterator[Node]:
        self._expect(MAGIC)
        node = self._parse_node(b"")
        yield node
        if isinstance(node, Directory):
            yield from self._parse_entries(node)

    def _parse_entries(self, root: Directory) -> Iterator[Node]:
        folders = [(root.path, b"")]
        while folders:
            folder, last = folders[-1]
            if self._read_token(b"entry", b")") == b")":
                folders.pop()
                if folders:
                    self._expect(b")")
                continue
            for token in (b"(", b"name"):
                self._expect(token)
            name = self._read_name(last)
            folders[-1] = folder, name
            self._expect(b"node")
            if len(folder) + 1 + len(name) > MAX_PATH:
                raise self._error(f"a path of more than {MAX_PATH} bytes", "a shorter path")
            node = self._parse_node(folder + b"/" + name if folder else name)
            yield node
            if isinstance(node, Directory):
                folders.append((node.path, b""))
                if len(folders) > MAX_DEPTH:
                    raise self._error(f"more than {MAX_DEPTH} nested folders", "fewer folders")
            else:
                self._expect(b")")

    def _parse_node(self, path: bytes) -> Node:
        """Parse a file or symlink completely, or only the start of a folder."""
        for token in (b"(", b"type"):
            self._expect(token)
        node: Node
        match self._read_token(b"directory", b"regular", b"symlink"):
            case b"directory":
                return Directory(path)
            case b"symlink":
                self._expect(b"target")
                node = Symlink(path, self._read_string())
                if not node.target or b"\0" in node.target:
                    raise self._error(f"symlink target {short_repr(node.target)}", "a string without NUL")
            case _:
                executable = self._read_token(b"executable", b"contents") == b"executable"
                if executable:
                    self._expect(b"")
                    self._expect(b"contents")
                node = self._parse_regular(path, executable)
        self._expect(b")")
        return node

    def _parse_regular(self, path: bytes, executable: bool) -> Regular:
        size = int.from_bytes(self._read(8), "little")
        if size > self._size - self._position:
            raise self._error("the end", f"a file of {size} bytes")
        content = self._content(self._position, size)
        self._stream.seek(size, io.SEEK_CUR)
        self._position += size
        self._skip_padding(size)
        return Regular(path, executable, size, content)

    def _read_name(self, last: bytes) -> bytes:
        name = self._read_string()
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise self._error(f"entry name {short_repr(name)}", "one component of a path")
        if name <= last:
            raise self._error(f"entry {short_repr(name)} after {short_repr(last)}", "names in ascending order")
        return name

    def _expect(self, token: bytes) -> None:
        self._read_token(token)

    def _read_token(self, *expected: bytes) -> bytes:
        found = self._read_string()
        if found not in expected:
            raise self._error(repr(found[:40]), " or ".join(map(repr, expected)))
        return found

    def _read_string(self) -> bytes:
        size = int.from_bytes(self._read(8), "little")
        if size > MAX_TOKEN:
            raise self._error(f"a string of {size} bytes", f"at most {MAX_TOKEN}")
        text = self._read(size)
        self._skip_padding(size)
        return text

    def _skip_padding(self, size: int) -> None:
        padding = _PADDING[size % 8]
        if self._read(len(padding)) != padding:
            raise self._error("padding that is not zero", "zeros")

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise self._error("the end", f"{size - len(data)} more bytes")
        self._position += size
        return data

    def _error(self, got: str, expected: str) -> FormatError:
        return FormatError(f"NAR at byte {self._position}", got, expected)


def _is_inside(path: bytes, folder: bytes) -> bool:
    return not folder or path.startswith(folder + b"/")


def _dump_close(folders: list[bytes]) -> bytes:
    return dump_strings(b")", b")") if folders.pop() else _dump_string(b")")


def dump_strings(*texts: bytes) -> bytes:
    """Return ``texts`` as strings of an archive."""
    return b"".join(map(_dump_string, texts))


def _dump_string(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text + _PADDING[len(text) % 8]
