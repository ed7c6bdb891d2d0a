"""A Nix archive in memory, scanned for what is in it: several times as fast as `nar.parse`, and less to tell of errors.

Invariant: it gives the entries of exactly the archives that `nar.parse` takes, or says that it does not know.

What stands between names and contents is nearly always the same few runs of tokens, so it is compared run by run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, ListingEntry
from lamina.formats.nar import MAGIC, MAX_DEPTH, MAX_PATH, tokens

_START = tokens(MAGIC)
_ENTRY = tokens(b"entry", b"(", b"name")
_NODE = tokens(b"node")
_FOLDER = tokens(b"(", b"type", b"directory")
_SYMLINK = tokens(b"(", b"type", b"symlink", b"target")
_FILE = tokens(b"(", b"type", b"regular", b"contents")
_EXECUTABLE = tokens(b"(", b"type", b"regular", b"executable", b"", b"contents")
_CLOSE, _CLOSE_ENTRY = tokens(b")"), tokens(b")", b")")
_ZEROS = tuple(bytes(-length % 8) for length in range(8))
# Behind a node: the zeros that its last string needs, by that string's length modulo 8, and what closes it.
_CLOSES = tuple(zeros + _CLOSE for zeros in _ZEROS)
_CLOSES_ENTRY = tuple(zeros + _CLOSE_ENTRY for zeros in _ZEROS)
# Holds all between two contents where name and target are as short as most are.
_WINDOW = 512
_MAX_STRING = _WINDOW + 2 * 4096


class Archive(Protocol):
    """Bytes in memory, or a file that is mapped into it."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of them."""


class ScanError(Exception):
    """It is no archive, or one with longer names than are looked for here: `nar.parse` says which."""


def scan(data: Archive, mtime_ns: int) -> Iterator[ListingEntry]:
    """The entries of the archive ``data``, files with that ``mtime_ns``. Raises `ScanError`."""
    return _Scanner(data, mtime_ns).entries()


class _Scanner:
    def __init__(self, data: Archive, mtime_ns: int) -> None:
        self._data = data
        self._size = len(data)
        self._mtime_ns = mtime_ns
        self._window_offset = 0  # in the archive, of the window
        self._window = data[0:_WINDOW]
        self._position = 0  # in the window

    def entries(self) -> Iterator[ListingEntry]:
        self._expect(_START)
        entry = self._node(b"", _CLOSES)
        yield entry
        if entry[0] == FOLDER:
            yield from self._entries_below()
        if self._window_offset + self._position != self._size:
            raise ScanError

    def _entries_below(self) -> Iterator[ListingEntry]:
        folder, last = b"", b""
        above: list[tuple[bytes, bytes]] = []
        while True:
            if not self._window.startswith(_ENTRY, self._position):
                if not above:
                    self._expect(_CLOSE)
                    return
                self._expect(_CLOSE_ENTRY)
                folder, last = above.pop()
                continue
            self._position += len(_ENTRY)
            name = self._string()
            if name <= last or name in (b".", b"..") or b"/" in name or b"\0" in name:
                raise ScanError
            if len(folder) + len(name) >= MAX_PATH:
                raise ScanError
            last = name
            self._expect(_NODE)
            entry = self._node(folder + name, _CLOSES_ENTRY)
            yield entry
            if entry[0] == FOLDER:
                above.append((folder, last))
                if len(above) >= MAX_DEPTH:
                    raise ScanError
                folder, last = entry[1] + b"/", b""

    def _node(self, path: bytes, closing: tuple[bytes, ...]) -> ListingEntry:
        window, at = self._window, self._position
        if window.startswith(_FILE, at):
            return self._regular(FILE, path, at + len(_FILE), closing)
        if window.startswith(_EXECUTABLE, at):
            return self._regular(EXECUTABLE, path, at + len(_EXECUTABLE), closing)
        if window.startswith(_FOLDER, at):
            self._position += len(_FOLDER)
            self._slide(0)
            return FOLDER, path, 0, 0, b""
        self._expect(_SYMLINK)
        target = self._string()
        if not target or b"\0" in target:
            raise ScanError
        self._expect(closing[0])
        self._slide(0)
        return SYMLINK, path, 0, 0, target

    def _regular(self, kind: int, path: bytes, at: int, closing: tuple[bytes, ...]) -> ListingEntry:
        size = int.from_bytes(self._window[at : at + 8], "little")
        self._position = at + 8
        if size > self._size - self._window_offset - self._position:
            raise ScanError
        self._slide(size)
        self._expect(closing[size % 8])
        return kind, path, size, self._mtime_ns, b""

    def _slide(self, size: int) -> None:
        """Goes ``size`` bytes on and sees to it that all up to the next content is in the window."""
        self._position += size
        if self._position + _WINDOW > len(self._window):
            self._window_offset += self._position
            self._position = 0
            self._window = self._data[self._window_offset : self._window_offset + _MAX_STRING]

    def _expect(self, text: bytes) -> None:
        if not self._window.startswith(text, self._position):
            raise ScanError
        self._position += len(text)

    def _string(self) -> bytes:
        at = self._position
        length = int.from_bytes(self._window[at : at + 8], "little")
        start, end = at + 8, at + 8 + length
        self._position = end + -length % 8
        if length > _MAX_STRING or self._window[end : self._position] != _ZEROS[length % 8]:
            raise ScanError
        return self._window[start:end]
