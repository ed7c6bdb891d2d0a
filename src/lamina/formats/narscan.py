"""A Nix archive in memory, scanned for what is in it: several times as fast as `nar.parse`, and less to tell of errors.

Invariant: it gives the entries of exactly the archives that `nar.parse` takes, or says that it does not know.

What stands between names and contents is nearly always the same few runs of tokens, so it is compared run by run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lamina.formats.listing import FILE, FOLDER, PROGRAM, SYMLINK, Entry
from lamina.formats.nar import MAGIC, MAX_DEPTH, MAX_PATH, tokens

_START = tokens(MAGIC)
_ENTRY = tokens(b"entry", b"(", b"name")
_NODE = tokens(b"node")
_FOLDER = tokens(b"(", b"type", b"directory")
_SYMLINK = tokens(b"(", b"type", b"symlink", b"target")
_FILE = tokens(b"(", b"type", b"regular", b"contents")
_PROGRAM = tokens(b"(", b"type", b"regular", b"executable", b"", b"contents")
_CLOSE, _CLOSE_ENTRY = tokens(b")"), tokens(b")", b")")
_ZEROS = tuple(bytes(-length % 8) for length in range(8))
# Behind a node: the zeros that its last string needs, by that string's length modulo 8, and what closes it.
_CLOSES = tuple(zeros + _CLOSE for zeros in _ZEROS)
_CLOSES_ENTRY = tuple(zeros + _CLOSE_ENTRY for zeros in _ZEROS)
# Holds all between two contents where name and target are as short as most are.
_WINDOW = 512
_LONGEST = _WINDOW + 2 * 4096


class Archive(Protocol):
    """Bytes in memory, or a file that is mapped into it."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of them."""


class UnknownError(Exception):
    """It is no archive, or one with longer names than are looked for here: `nar.parse` says which."""


def scan(data: Archive, stamp: int) -> Iterator[Entry]:
    """The entries of the archive ``data``, files with that ``stamp``. Raises `UnknownError`."""
    return _Scan(data, stamp).entries()


class _Scan:
    def __init__(self, data: Archive, stamp: int) -> None:
        self._data = data
        self._size = len(data)
        self._stamp = stamp
        self._place = 0  # in the archive, of the window
        self._window = data[0:_WINDOW]
        self._at = 0  # in the window

    def entries(self) -> Iterator[Entry]:
        self._expect(_START)
        entry = self._node(b"", _CLOSES)
        yield entry
        if entry[0] == FOLDER:
            yield from self._below()
        if self._place + self._at != self._size:
            raise UnknownError

    def _below(self) -> Iterator[Entry]:
        folder, last = b"", b""
        above: list[tuple[bytes, bytes]] = []
        while True:
            if not self._window.startswith(_ENTRY, self._at):
                if not above:
                    self._expect(_CLOSE)
                    return
                self._expect(_CLOSE_ENTRY)
                folder, last = above.pop()
                continue
            self._at += len(_ENTRY)
            name = self._string()
            if name <= last or name in (b".", b"..") or b"/" in name or b"\0" in name:
                raise UnknownError
            if len(folder) + len(name) >= MAX_PATH:
                raise UnknownError
            last = name
            self._expect(_NODE)
            entry = self._node(folder + name, _CLOSES_ENTRY)
            yield entry
            if entry[0] == FOLDER:
                above.append((folder, last))
                if len(above) >= MAX_DEPTH:
                    raise UnknownError
                folder, last = entry[1] + b"/", b""

    def _node(self, path: bytes, closes: tuple[bytes, ...]) -> Entry:
        window, at = self._window, self._at
        if window.startswith(_FILE, at):
            return self._regular(FILE, path, at + len(_FILE), closes)
        if window.startswith(_PROGRAM, at):
            return self._regular(PROGRAM, path, at + len(_PROGRAM), closes)
        if window.startswith(_FOLDER, at):
            self._at += len(_FOLDER)
            self._slide(0)
            return FOLDER, path, 0, 0, b""
        self._expect(_SYMLINK)
        target = self._string()
        if not target or b"\0" in target:
            raise UnknownError
        self._expect(closes[0])
        self._slide(0)
        return SYMLINK, path, 0, 0, target

    def _regular(self, kind: int, path: bytes, at: int, closes: tuple[bytes, ...]) -> Entry:
        size = int.from_bytes(self._window[at : at + 8], "little")
        self._at = at + 8
        if size > self._size - self._place - self._at:
            raise UnknownError
        self._slide(size)
        self._expect(closes[size % 8])
        return kind, path, size, self._stamp, b""

    def _slide(self, size: int) -> None:
        """Goes ``size`` bytes on and sees to it that all up to the next content is in the window."""
        self._at += size
        if self._at + _WINDOW > len(self._window):
            self._place += self._at
            self._at = 0
            self._window = self._data[self._place : self._place + _LONGEST]

    def _expect(self, text: bytes) -> None:
        if not self._window.startswith(text, self._at):
            raise UnknownError
        self._at += len(text)

    def _string(self) -> bytes:
        at = self._at
        length = int.from_bytes(self._window[at : at + 8], "little")
        start, end = at + 8, at + 8 + length
        self._at = end + -length % 8
        if length > _LONGEST or self._window[end : self._at] != _ZEROS[length % 8]:
            raise UnknownError
        return self._window[start:end]
