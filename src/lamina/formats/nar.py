"""The Nix archive: one of the two serialisations of a store path.

Invariant: ``dump(parse(nar)) == nar``; whatever no ``dump`` could have written raises `FormatError`.

The format is in E. Dolstra's thesis (The Purely Functional Software Deployment Model, figure 5.2) and in the
Nix manual (Nix Archive format). Every string is its length in 8 little-endian bytes, its bytes, and zeros up to
the next multiple of 8. A file ``x`` holding ``hi`` is::

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
# Nix stops at 64 levels; real trees stay far below either.
MAX_DEPTH = 1024
# Longest name or symlink target that is read; no file system takes a longer one.
MAX_TOKEN = 65536
# Longest path below the store path, for every entry costs what its path costs; systems take 4096 bytes at most.
MAX_PATH = 16384
# Bytes passed on at a time.
_CHUNK_SIZE = 1 << 16
_PADDING = (b"", bytes(7), bytes(6), bytes(5), bytes(4), bytes(3), bytes(2), bytes(1))


def dump(nodes: Iterable[Node]) -> Iterator[bytes | Extent]:
    """The archive of ``nodes`` (NAR order) as pieces: text between contents, and the contents themselves."""
    text = bytearray(_string(MAGIC))
    folders: list[bytes] = []
    for node in nodes:
        while folders and not _is_inside(node.path, folders[-1]):
            text += _close(folders)
        if node.path:
            text += tokens(b"entry", b"(", b"name", node.path.rpartition(b"/")[2], b"node")
        text += tokens(b"(", b"type")
        match node:
            case Directory():
                text += _string(b"directory")
                folders.append(node.path)
                continue
            case Symlink():
                text += tokens(b"symlink", b"target", node.target)
            case Regular():
                text += _string(b"regular")
                if node.executable:
                    text += tokens(b"executable", b"")
                text += _string(b"contents") + node.size.to_bytes(8, "little")
                yield bytes(text)
                yield node.content
                text = bytearray(_PADDING[node.size % 8])
        text += _string(b")") if not node.path else tokens(b")", b")")
    while folders:
        text += _close(folders)
    yield bytes(text)


class ByteStream(Protocol):
    """Bytes to go through, forwards."""

    def read(self, size: int, /) -> bytes:
        """The next ``size`` bytes, fewer only at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Goes ``offset`` bytes on, or to the end, as `io` has it; gives the place."""

    def tell(self) -> int:
        """The place."""


def parse(stream: ByteStream, content: Callable[[int, int], Content]) -> Iterator[Node]:
    """The nodes of the archive in the seekable ``stream``; ``content(offset, size)`` says where a file's bytes are.

    Raises `FormatError` with the place. Nothing is held but the folders that are open.
    """
    start = stream.tell()
    size = stream.seek(0, io.SEEK_END) - start
    stream.seek(start)
    return _Parser(stream, content, size).whole()


def parse_bytes(data: bytes) -> Iterator[Node]:
    """The nodes of an archive in memory; raises `FormatError`."""
    return parse(io.BytesIO(data), lambda offset, size: data[offset : offset + size])


def copy(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> int:
    """Passes on the archive that comes next in a stream, and reads nothing behind it; gives its size.

    ``read(size)`` gives up to so many bytes, none at the end. Raises `FormatError` with the place, and then part of
    the archive may have been passed on.
    """
    passing = _CopyStream(read, write)
    # How long it is, nobody knows before its end.
    for _ in _Parser(passing, lambda *_: b"", 1 << 64).nodes():
        pass
    passing.flush()
    return passing.tell()


class _CopyStream:
    """A stream for the parser, of what can only be read on: all that it goes over is passed on."""

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
        """Goes on, as far as there is something."""
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

    def whole(self) -> Iterator[Node]:
        yield from self.nodes()
        if self._stream.read(1):
            raise self._error("more bytes", "the end")

    def nodes(self) -> Iterator[Node]:
        self._expect(MAGIC)
        node = self._node(b"")
        yield node
        if isinstance(node, Directory):
            yield from self._entries_below(node)

    def _entries_below(self, root: Directory) -> Iterator[Node]:
        folders = [(root.path, b"")]
        while folders:
            folder, last = folders[-1]
            if self._token(b"entry", b")") == b")":
                folders.pop()
                if folders:
                    self._expect(b")")
                continue
            for token in (b"(", b"name"):
                self._expect(token)
            name = self._name(last)
            folders[-1] = folder, name
            self._expect(b"node")
            if len(folder) + 1 + len(name) > MAX_PATH:
                raise self._error(f"a path of more than {MAX_PATH} bytes", "a shorter one")
            node = self._node(folder + b"/" + name if folder else name)
            yield node
            if isinstance(node, Directory):
                folders.append((node.path, b""))
                if len(folders) > MAX_DEPTH:
                    raise self._error(f"more than {MAX_DEPTH} nested folders", "fewer")
            else:
                self._expect(b")")

    def _node(self, path: bytes) -> Node:
        """A node's head, and for anything but a folder its closing parenthesis."""
        for token in (b"(", b"type"):
            self._expect(token)
        node: Node
        match self._token(b"directory", b"regular", b"symlink"):
            case b"directory":
                return Directory(path)
            case b"symlink":
                self._expect(b"target")
                node = Symlink(path, self._string())
                if not node.target or b"\0" in node.target:
                    raise self._error(f"symlink target {short_repr(node.target)}", "a text without NUL")
            case _:
                executable = self._token(b"executable", b"contents") == b"executable"
                if executable:
                    self._expect(b"")
                    self._expect(b"contents")
                node = self._regular(path, executable)
        self._expect(b")")
        return node

    def _regular(self, path: bytes, executable: bool) -> Regular:
        size = int.from_bytes(self._read(8), "little")
        if size > self._size - self._position:
            raise self._error("the end", f"a file of {size} bytes")
        content = self._content(self._position, size)
        self._stream.seek(size, io.SEEK_CUR)
        self._position += size
        self._padding(size)
        return Regular(path, executable, size, content)

    def _name(self, last: bytes) -> bytes:
        name = self._string()
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise self._error(f"entry name {short_repr(name)}", "one component of a path")
        if name <= last:
            raise self._error(f"entry {short_repr(name)} after {short_repr(last)}", "names in ascending order")
        return name

    def _expect(self, token: bytes) -> None:
        self._token(token)

    def _token(self, *expected: bytes) -> bytes:
        found = self._string()
        if found not in expected:
            raise self._error(repr(found[:40]), " or ".join(map(repr, expected)))
        return found

    def _string(self) -> bytes:
        size = int.from_bytes(self._read(8), "little")
        if size > MAX_TOKEN:
            raise self._error(f"a string of {size} bytes", f"at most {MAX_TOKEN}")
        text = self._read(size)
        self._padding(size)
        return text

    def _padding(self, size: int) -> None:
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
        return FormatError(f"NAR at byte {self._position}: got {got}, expected {expected}")


def _is_inside(path: bytes, folder: bytes) -> bool:
    return not folder or path.startswith(folder + b"/")


def _close(folders: list[bytes]) -> bytes:
    return tokens(b")", b")") if folders.pop() else _string(b")")


def tokens(*texts: bytes) -> bytes:
    """``texts`` as an archive spells them."""
    return b"".join(map(_string, texts))


def _string(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text + _PADDING[len(text) % 8]
