"""Bytes that do not lie ready in a file, put into one: what is compressed, and what comes from a pipe.

Invariant: one pass, in which both what goes in and what comes out are hashed; no stream unpacks to more than
64 MiB and a hundred times its own length.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from lamina.engine import Measure
from lamina.errors import FormatError, OutputError, Unavailable
from lamina.names import Digest
from lamina.nodes import Extent
from lamina.sources.decompression import broken, decompressed

_CHUNK = 1 << 20
_FREE = 64 << 20
_RATIO = 100


class Source(Protocol):
    """What bytes come from."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Fills the beginning of ``buffer``, and says how much of it; 0 is the end."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """What lies in the new file, and what went in and came out on the way there."""

    content: Extent
    outer: Measure
    inner: Measure


def spool(source: Source, file: Path, accept: Callable[[bytes], object] = len) -> Spooled:
    """Writes the rest of ``source`` to the new ``file``, without its compression.

    ``accept`` is given the first 512 bytes of what comes out, and may raise before more is read. Raises `FormatError`
    for a broken stream and for one that unpacks to too much, `Unavailable` where it cannot be read, `OutputError`
    where there is no room.
    """
    outer = Metered(source)
    inner = hashlib.sha256()
    size = 0
    try:
        with file.open("xb") as out:
            reader = decompressed(io.BufferedReader(outer, _CHUNK))
            while data := _read(reader):
                if not size:
                    accept(data[:512])
                size += len(data)
                if size > _FREE + _RATIO * outer.size:
                    raise FormatError(
                        f"got {size} bytes out of {outer.size} compressed ones, expected at most {_RATIO} times as "
                        "many: a decompression bomb",
                        hint="decompress it first, if it is what it should be",
                    )
                inner.update(data)
                out.write(data)
    except OSError as error:
        place = error.filename or file.parent
        raise OutputError(
            f"{place}: got {error.strerror}, expected room to unpack", hint="TMPDIR names the folder for that"
        ) from error
    content = extent_of(file)
    return Spooled(content, outer.measure, Measure(Digest(inner.digest()), size))


def extent_of(file: Path) -> Extent:
    """All of ``file`` as it is now. Raises `OSError`."""
    status = os.stat(file)
    return Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)


def _read(reader: IO[bytes]) -> bytes:
    try:
        # A decompressor's own buffer ends where its frame does, so fill the chunk: the first is looked at.
        data = reader.read(_CHUNK)
    except broken() as error:
        raise FormatError(f"got {error}, expected a whole compressed stream") from error
    except OSError as error:
        raise Unavailable(f"got {error.strerror}, expected a readable file") from error
    return data


class Metered(io.RawIOBase):
    """A stream that knows the digest and length of what was read from it."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Passes on the next bytes."""
        count = self._stream.readinto(buffer) or 0
        self._hash.update(memoryview(buffer)[:count])
        self.size += count
        return count

    @property
    def measure(self) -> Measure:
        """What was read so far."""
        return Measure(Digest(self._hash.digest()), self.size)
