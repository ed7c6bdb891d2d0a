"""What ``nix-store --export`` writes: NARs in a row, behind each what was known of its path.

Invariant: `parse` gives the paths whose dumps were put in a row, reads nothing behind the end of the last one, and
raises `FormatError` for whatever else comes.

Numbers and strings are as in a NAR (Nix source, libstore, export-import)::

    { 1, NAR, 0x4558494e, PATH, number of references, each reference, deriver or "", 0 }, 0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lamina.core.names import StorePath
from lamina.errors import FormatError, InvalidArgument
from lamina.formats import nar
from lamina.messages.redaction import short_repr

_MAGIC = 0x4558494E
# Longer than any path, or signature as Nix 1 wrote them; more references than any path has.
_MAX_STRING = 4096
_MAX_REFERENCES = 1 << 16


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


# What comes in front of each NAR, and behind the last path.
NEXT = _number(1)
END = _number(0)


@dataclass(frozen=True, slots=True)
class ExportedPath:
    """What an export says of a path; ``deriver`` is a base name, and empty where there is none."""

    path: StorePath
    references: frozenset[StorePath]
    deriver: str = ""

    def dump(self) -> bytes:
        """What comes behind the path's NAR."""
        references = sorted(self.references)
        deriver = str(StorePath(self.deriver)) if self.deriver else ""
        texts = (str(self.path), *map(str, references), deriver)
        path, *others = (nar.dump_strings(text.encode()) for text in texts)
        return b"".join((_number(_MAGIC), path, _number(len(references)), *others, _number(0)))


def parse(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> Iterator[ExportedPath]:
    """The paths of an export, each once its NAR was passed on to ``write``.

    ``read(size)`` gives up to so many bytes, none at the end. What is written after one path was given belongs to the
    next. Raises `FormatError`.
    """
    source = _ExportReader(read)
    while source.read_flag("the next path or the end"):
        nar.copy(read, write)
        yield source.read_path()


class _ExportReader:
    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read_path(self) -> ExportedPath:
        magic = self._number()
        if magic != _MAGIC:
            raise FormatError(f"export: got {magic:#x} behind a NAR, expected {_MAGIC:#x}")
        try:
            path = StorePath.parse(self._string())
            count = self._number()
            if count > _MAX_REFERENCES:
                raise FormatError(f"export of {path}: got {count} references, expected at most {_MAX_REFERENCES}")
            references = frozenset(StorePath.parse(self._string()) for _ in range(count))
            deriver = self._string()
            found = ExportedPath(path, references, StorePath.parse(deriver).base if deriver else "")
        except InvalidArgument as error:
            raise FormatError(f"export: {error}") from error
        # Nix 1 could put a signature here, which Nix 2 passes over.
        if self.read_flag("a signature or none"):
            self._string()
        return found

    def read_flag(self, expected: str) -> int:
        value = self._number()
        if value not in (0, 1):
            raise FormatError(f"export: got {value}, expected 1 or 0 for {expected}")
        return value

    def _number(self) -> int:
        return int.from_bytes(self._read_exactly(8), "little")

    def _string(self) -> str:
        size = self._number()
        if size > _MAX_STRING:
            raise FormatError(f"export: got a string of {size} bytes, expected at most {_MAX_STRING}")
        data = self._read_exactly(size)
        if self._read_exactly(-size % 8).strip(b"\0"):
            raise FormatError("export: got padding that is not zero, expected zeros")
        try:
            return data.decode("ascii")
        except UnicodeDecodeError as error:
            raise FormatError(f"export: got {short_repr(data)}, expected ASCII") from error

    def _read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._read(size - len(data))
            if not more:
                raise FormatError(f"export: got the end, expected {size - len(data)} more bytes")
            data += more
        return data
