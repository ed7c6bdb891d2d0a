"""Temporary files for what does not lie ready in a file: compressed data, and what comes from a pipe.

Invariant: one pass, in which both what goes in and what comes out are hashed; all that is unpacked for one image stays
within one limit.

A few kilobytes may unpack to terabytes, so there is a limit in bytes. It is absolute where the user names one.
`DEFAULT_UNPACKED_SIZE` is for files of usual size; a larger file may unpack to a hundred times its length as well,
so that nobody has to name a limit for an honest image.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from lamina.compression.streams import detect_and_decode
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.errors import FormatError, OutputError, Unavailable
from lamina.system.tempdir import TempDir
from lamina.system.transfer import BlobInfo

DEFAULT_UNPACKED_SIZE = 2 << 30
_RATIO = 100
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_START = 512
_HINT = "TMPDIR names the folder for that"


class ByteSource(Protocol):
    """Where bytes come from."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Fill the beginning of ``buffer`` and return how much of it; 0 is the end."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The new file, and the digests and lengths of what went in and what came out."""

    content: Extent
    outer: BlobInfo
    inner: BlobInfo


class Unpacker:
    """Unpacks what belongs to one image into a temporary folder, which is made when it is first needed.

    ``limit`` is the number of bytes that all of it may take; None is the default.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._input_size = 0
        self._written = 0
        self._workspace: TempDir | None = None
        self._numbers = count()

    @property
    def keep_alive(self) -> object:
        """What must live as long as the files."""
        return self._workspace

    def unpack(self, source: ByteSource, accept: Callable[[bytes], object] = len) -> Unpacked:
        """Write the rest of ``source`` to a new file, decompressed.

        ``accept`` is given the first 512 bytes of what comes out, and may raise before more is read. Raises
        `FormatError` for a broken stream and for one that unpacks to more than the limit, `Unavailable` if the source
        cannot be read, `OutputError` if there is no room for the result.
        """
        file = self._new_file()
        # What an archive unpacked to may be compressed in turn, but is no part of the file that was given.
        metered = _Metered(source, counts=not self._is_unpacked(source))
        try:
            with file.open("xb") as out:
                inner = self._write(_join_start(detect_and_decode(metered.pieces())), out, metered, accept)
        except OSError as error:
            place = error.filename or file.parent
            raise OutputError(f"{place}: got {error.strerror}, expected room to unpack", hint=_HINT) from error
        self._input_size += metered.input_size
        return Unpacked(extent_of(file), metered.blob_info, inner)

    def _new_file(self) -> Path:
        try:
            self._workspace = self._workspace or TempDir()
        except OSError as error:
            raise OutputError(f"temporary folder: got {error.strerror}, expected room to unpack", hint=_HINT) from error
        return self._workspace.path / str(next(self._numbers))

    def _is_unpacked(self, source: ByteSource) -> bool:
        file = getattr(source, "file", None)
        return bool(file and self._workspace and Path(os.fsdecode(file)).parent == self._workspace.path)

    def _write(
        self, pieces: Iterator[bytes], out: io.BufferedWriter, metered: _Metered, accept: Callable[[bytes], object]
    ) -> BlobInfo:
        inner = hashlib.sha256()
        size = 0
        for piece in pieces:
            if not size:
                accept(piece[:_START])
            size += len(piece)
            self._check_limit(len(piece), metered.input_size)
            inner.update(piece)
            # Zeros become holes, which take no room.
            if piece == _ZEROS[: len(piece)]:
                out.seek(len(piece), os.SEEK_CUR)
            else:
                out.write(piece)
        out.truncate(size)
        return BlobInfo(Digest(inner.digest()), size)

    def _check_limit(self, size: int, input_size: int) -> None:
        self._written += size
        limit = (
            self._limit
            if self._limit is not None
            else max(DEFAULT_UNPACKED_SIZE, _RATIO * (self._input_size + input_size))
        )
        if self._written > limit:
            raise FormatError(
                f"got more than {limit} bytes when decompressed, expected at most {limit}: a decompression bomb, or a "
                "large image",
                hint="if the image may be larger, say so with --max-unpacked-size",
            )


def extent_of(file: Path) -> Extent:
    """All of ``file`` as it is now. Raises `OSError`."""
    status = os.stat(file)
    return Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)


def _join_start(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join ``pieces`` until there are enough to look at; the rest comes as it is."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= _START:
            break
    if start:
        yield start
    yield from pieces


class _Metered:
    """A source whose digest and length are known; with ``counts`` its length is ``input_size`` as well, else 0."""

    def __init__(self, source: ByteSource, *, counts: bool) -> None:
        self._source = source
        self._counts = counts
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def input_size(self) -> int:
        """What counts as given of all that was read so far, in bytes."""
        return self.size if self._counts else 0

    def pieces(self) -> Iterator[bytes]:
        """All bytes, in pieces of up to 1 MiB. Raises `Unavailable`."""
        buffer = memoryview(bytearray(_CHUNK))
        while True:
            try:
                length = self._source.readinto(buffer) or 0
            except OSError as error:
                raise Unavailable(f"got {error.strerror}, expected a readable file") from error
            if not length:
                return
            piece = bytes(buffer[:length])
            self._hash.update(piece)
            self.size += length
            yield piece

    @property
    def blob_info(self) -> BlobInfo:
        """What was read so far."""
        return BlobInfo(Digest(self._hash.digest()), self.size)
