"""Unpack compressed data, and data from a pipe, into temporary files.

Input and output are hashed in a single pass. A few kilobytes may unpack to terabytes, so there is a limit in bytes for
everything that is unpacked for one image file. A limit from the user is absolute. Otherwise the limit is
`DEFAULT_UNPACKED_SIZE` or a hundred times the input's length, whichever is more, so that no genuine image needs a limit
from the user.
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
from lamina.core.callbacks import ignore
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.errors import FormatError, InputError, OutputError
from lamina.messages.sizes import format_size
from lamina.system.tempdir import FOLDER_HINT, TempDir
from lamina.system.transfer import BlobInfo

DEFAULT_UNPACKED_SIZE = 2 << 30
MAX_UNPACKED_HINT = "allow a larger image with --max-unpacked-size"
_RATIO = 100
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_START_SIZE = 512


class ByteSource(Protocol):
    """A source of bytes, like an unbuffered binary file."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Fill the beginning of ``buffer`` and return the number of bytes; 0 means the end."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The result of `Unpacker.unpack`.

    ``content`` is the new file, ``outer`` the digest and length of the input, ``inner`` those of the output.
    """

    content: Extent
    outer: BlobInfo
    inner: BlobInfo


class Unpacker:
    """Unpacks the parts of one image file into a temporary folder, which is created when it is first needed.

    ``limit`` is the maximum size of all parts together in bytes; None is the default.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._input_size = 0
        self._written = 0
        self._workspace: TempDir | None = None
        self._numbers = count()

    @property
    def workspace(self) -> TempDir | None:
        """The temporary folder, or None if nothing was unpacked. It is removed when nothing refers to it any more."""
        return self._workspace

    def unpack(self, source: ByteSource, accept: Callable[[bytes], object] = ignore) -> Unpacked:
        """Write the rest of ``source``, decompressed, to a new file.

        Args:
            source: the bytes to decompress, from the current position to the end.
            accept: called with the first 512 bytes of the output; it may raise an error before more is read.

        Raises:
            FormatError: the compressed stream is broken, or unpacks to more than the limit.
            Unavailable: the source cannot be read.
            OutputError: there is not enough space for the result.

        """
        file = self._create_path()
        # A layer inside a decompressed archive may be compressed as well. Its bytes are not counted as input again,
        # because they are not part of the file that the user gave.
        metered = _MeteredSource(source, counts=not self._is_unpacked(source))
        try:
            with file.open("xb") as out:
                inner = self._write_output(_join_start(detect_and_decode(metered.pieces())), out, metered, accept)
        except OSError as error:
            path = error.filename or file.parent
            raise OutputError(path, error, "enough space to unpack", hint=FOLDER_HINT) from error
        self._input_size += metered.input_size
        return Unpacked(get_extent(file), metered.blob_info, inner)

    def _create_path(self) -> Path:
        try:
            self._workspace = self._workspace or TempDir()
        except OSError as error:
            raise OutputError("temporary folder", error, "enough space to unpack", hint=FOLDER_HINT) from error
        return self._workspace.path / str(next(self._numbers))

    def _is_unpacked(self, source: ByteSource) -> bool:
        file = getattr(source, "file", None)
        return bool(file and self._workspace and Path(os.fsdecode(file)).parent == self._workspace.path)

    def _write_output(
        self,
        pieces: Iterator[bytes],
        out: io.BufferedWriter,
        metered: _MeteredSource,
        accept: Callable[[bytes], object],
    ) -> BlobInfo:
        digest = hashlib.sha256()
        size = 0
        for piece in pieces:
            if not size:
                accept(piece[:_START_SIZE])
            size += len(piece)
            self._check_limit(len(piece), metered.input_size)
            digest.update(piece)
            # Zeros become holes in the file, which use no disk space.
            if piece == _ZEROS[: len(piece)]:
                out.seek(len(piece), os.SEEK_CUR)
            else:
                out.write(piece)
        out.truncate(size)
        return BlobInfo(Digest(digest.digest()), size)

    def _check_limit(self, size: int, input_size: int) -> None:
        self._written += size
        check_unpacked_size(self._written, self._input_size + input_size, self._limit)


def check_unpacked_size(size: int, input_size: int, limit: int | None) -> None:
    """Raise `FormatError` if ``input_size`` bytes must not unpack to ``size``; a ``limit`` of None is the default."""
    maximum = max(DEFAULT_UNPACKED_SIZE, _RATIO * input_size) if limit is None else limit
    if size > maximum:
        raise FormatError(
            got=f"more than {format_size(maximum)} when decompressed",
            expected="a smaller image; this may be a decompression bomb",
            hint=MAX_UNPACKED_HINT,
        )


def get_extent(file: Path) -> Extent:
    """Return the extent of the whole ``file`` at its current size. Raises `OSError`."""
    status = os.stat(file)
    return Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)


def _join_start(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join the first ``pieces`` until they are at least as long as a tar header, and pass on the rest unchanged."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= _START_SIZE:
            break
    if start:
        yield start
    yield from pieces


class _MeteredSource:
    """A source whose bytes are hashed and counted. With ``counts``, they are also added to ``input_size``."""

    def __init__(self, source: ByteSource, *, counts: bool) -> None:
        self._source = source
        self._counts = counts
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def input_size(self) -> int:
        """The number of bytes read so far that count as input for the limit."""
        return self.size if self._counts else 0

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes in pieces of at most 1 MiB. Raises `InputError`."""
        buffer = memoryview(bytearray(_CHUNK))
        while True:
            try:
                length = self._source.readinto(buffer) or 0
            except OSError as error:
                raise InputError(got=error, expected="a readable file") from error
            if not length:
                return
            piece = bytes(buffer[:length])
            self._hash.update(piece)
            self.size += length
            yield piece

    @property
    def blob_info(self) -> BlobInfo:
        """The digest and length of the bytes read so far."""
        return BlobInfo(Digest(self._hash.digest()), self.size)
