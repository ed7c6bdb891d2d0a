"""Read and write a binary cache in a folder.

Invariant: no name leads out of the folder. A file is replaced atomically: readers see the old file or the complete new
file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from urllib.parse import unquote_to_bytes

from lamina.errors import FormatError, InvalidArgument, NotFound, Unavailable, output_error
from lamina.messages.redaction import short_repr
from lamina.messages.sizes import format_size
from lamina.system.temporary import PartFile
from lamina.transports.urls import check_file_name, redact_url, split_url

PIECE = 1 << 18
_COPY_SIZE = 1 << 20
# O_NONBLOCK keeps a named pipe from blocking the open call.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class FileTransport:
    """Files below ``file:///FOLDER``, which need not exist yet. Raises `InvalidArgument` for any other URL."""

    def __init__(self, url: str) -> None:
        self._folder = parse_folder_url(url)
        self.label: str = redact_url(url).rstrip("/") if self._folder != "/" else "file:///"

    def read(self, name: str, limit: int) -> bytes | None:
        """Read the whole file, or return None if it is absent.

        Raises `FormatError` if it has more than ``limit`` bytes, and `Unavailable` if it cannot be read.
        """
        try:
            return b"".join(self.stream(name, limit))
        except NotFound:
            return None

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """Yield the file in pieces of at most `PIECE` bytes.

        Raises:
            NotFound: the file is absent.
            FormatError: more than ``limit`` bytes have been read, or ``name`` leads out of the folder.
            Unavailable: the file cannot be read.

        """
        path = self._resolve(name)
        size = 0
        try:
            with open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, _OPEN_FLAGS)) as file:
                self._check_regular(os.fstat(file.fileno()), path)
                while piece := file.read(PIECE):
                    remaining = limit - size
                    size += len(piece)
                    if size > limit:
                        if remaining:
                            yield piece[:remaining]  # as `Downloader.stream` does, whose pieces may be smaller
                        raise FormatError(path, f"more than {format_size(limit)}", "a smaller file")
                    yield piece
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(path, "nothing there", "the file") from error
        except OSError as error:
            raise _unavailable_error(path, error) from error

    def size(self, name: str) -> int | None:
        """Return the file's size in bytes, or None if it is absent. Raises `Unavailable` if it cannot be read."""
        path = self._resolve(name)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unavailable_error(path, error) from error
        self._check_regular(status, path)
        return status.st_size

    def write(self, name: str, data: bytes) -> None:
        """Write ``data`` to the file ``name``. Raises `OutputError`."""
        self._write_pieces(self._resolve(name), (data,))

    def create(self, name: str, data: bytes) -> bool:
        """Write ``data`` to the file ``name`` unless it exists, and return whether it was written.

        Raises `OutputError`, also on a file system without hard links.
        """
        path = self._resolve(name)
        folder = os.path.dirname(path)
        try:
            os.makedirs(folder, exist_ok=True)
            with PartFile(Path(folder)) as part:
                part.write(data)
                try:
                    os.link(part.path, path)
                except FileExistsError:
                    return False
        except OSError as error:
            raise output_error(self._folder, error) from error
        return True

    def upload(self, name: str, file: Path) -> None:
        """Copy ``file`` to the file ``name``. Raises `Unavailable` if ``file`` cannot be read, and `OutputError`."""
        path, pieces = self._resolve(name), read_pieces(file, _COPY_SIZE)
        first = next(pieces, b"")  # read the first piece before anything is created
        self._write_pieces(path, chain((first,), pieces))

    def close(self) -> None:
        """Do nothing, because no file is kept open."""

    def _resolve(self, name: str) -> str:
        try:
            os.fsencode(check_file_name(self.label, name))
        except UnicodeEncodeError as error:
            raise FormatError(self.label, f"the name {short_repr(name)} for a file", "UTF-8") from error
        return f"{self._folder.rstrip('/')}/{name}"

    def _check_regular(self, status: os.stat_result, path: str) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise Unavailable(path, "a folder or special file", "a regular file")

    def _write_pieces(self, path: str, pieces: Iterable[bytes]) -> None:
        folder = os.path.dirname(path)
        try:
            os.makedirs(folder, exist_ok=True)
            with PartFile(Path(folder)) as part:
                for piece in pieces:
                    part.write(piece)
                part.commit(Path(path))
        except OSError as error:
            raise output_error(self._folder, error) from error


def parse_folder_url(url: str) -> str:
    """Return the folder of ``file:///FOLDER``. Raises `InvalidArgument` for any other URL."""
    parts = split_url(url)
    path = os.fsdecode(unquote_to_bytes(parts.path))
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise InvalidArgument(f"cache {redact_url(url)}", "no folder", "file:///FOLDER")
    if "\0" in path:
        raise InvalidArgument(f"cache {redact_url(url)}", "a NUL character", "file:///FOLDER")
    return "/" + path.strip("/")


def read_pieces(file: Path, size: int) -> Iterator[bytes]:
    """Yield ``file`` in pieces of ``size`` bytes or less. Raises `Unavailable` if the file cannot be read."""
    try:
        with file.open("rb") as opened:
            while piece := opened.read(size):
                yield piece
    except OSError as error:
        raise _unavailable_error(str(file), error) from error


def _unavailable_error(path: str, error: OSError) -> Unavailable:
    return Unavailable(path, error, "a readable file")
