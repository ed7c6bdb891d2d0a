"""The format of ``nix-store --export``: a sequence of NARs, each followed by the metadata of its store path.

`parse` reads nothing beyond the end of the export.

Numbers and strings are encoded as in a NAR (Nix source, libstore, export-import)::

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
# Upper limits: no store path and no signature of Nix 1 is longer, and no path has more references.
_MAX_STRING = 4096
_MAX_REFERENCES = 1 << 16


def _dump_number(value: int) -> bytes:
    return value.to_bytes(8, "little")


# The markers before each NAR and at the end of the export.
NEXT = _dump_number(1)
END = _dump_number(0)


@dataclass(frozen=True, slots=True)
class ExportedPath:
    """The metadata of a store path in an export. ``deriver`` is a base name, or empty."""

    path: StorePath
    references: frozenset[StorePath]
    deriver: str = ""

    def dump(self) -> bytes:
        """Return the bytes that follow the NAR of the path."""
        references = sorted(self.references)
        deriver = str(StorePath(self.deriver)) if self.deriver else ""
        texts = (str(self.path), *map(str, references), deriver)
        path, *others = (nar.dump_strings(text.encode()) for text in texts)
        return b"".join((_dump_number(_MAGIC), path, _dump_number(len(references)), *others, _dump_number(0)))


def parse(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> Iterator[ExportedPath]:
    """Parse an export, and yield each path after its NAR has been written.

    Args:
        read: a function that returns up to a given number of bytes, and none at the end.
        write: a function that takes the bytes of the NARs. All bytes since the last path belong to the next one.

    Raises:
        FormatError: the export is invalid.

    """
    source = _ExportReader(read)
    while source.read_flag("the next path or the end"):
        nar.copy(read, write)
        yield source.read_path()


class _ExportReader:
    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read_path(self) -> ExportedPath:
        magic = self._read_number()
        if magic != _MAGIC:
            raise FormatError("export", f"{magic:#x} after a NAR", f"{_MAGIC:#x}")
        try:
            path = StorePath.parse(self._read_string())
            count = self._read_number()
            if count > _MAX_REFERENCES:
                raise FormatError(f"export of {path}", f"{count} references", f"at most {_MAX_REFERENCES}")
            references = frozenset(StorePath.parse(self._read_string()) for _ in range(count))
            deriver = self._read_string()
            exported = ExportedPath(path, references, StorePath.parse(deriver).base if deriver else "")
        except InvalidArgument as error:
            raise error.convert(FormatError).add_context("export") from error
        # Nix 1 could write a signature here, which Nix 2 ignores.
        if self.read_flag("a signature or none"):
            self._read_string()
        return exported

    def read_flag(self, expected: str) -> int:
        value = self._read_number()
        if value not in (0, 1):
            raise FormatError("export", "bytes of another format", f"1 or 0 for {expected}")
        return value

    def _read_number(self) -> int:
        return int.from_bytes(self._read_exactly(8), "little")

    def _read_string(self) -> str:
        size = self._read_number()
        if size > _MAX_STRING:
            raise FormatError("export", f"a string of {size} bytes", f"at most {_MAX_STRING}")
        data = self._read_exactly(size)
        if self._read_exactly(-size % 8).strip(b"\0"):
            raise FormatError("export", "padding that is not zero", "zeros")
        try:
            return data.decode("ascii")
        except UnicodeDecodeError as error:
            raise FormatError("export", short_repr(data), "ASCII") from error

    def _read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._read(size - len(data))
            if not more:
                raise FormatError("export", "the end", f"{size - len(data)} more bytes")
            data += more
        return data
