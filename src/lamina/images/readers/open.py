"""Image files and folders opened, whoever wrote them.

Invariant: what comes back was checked to the last byte, and a plain archive of plain layers was copied nowhere.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lamina.compression.streams import MAGIC_SIZE, detect_image_compression
from lamina.errors import Error, FormatError, IntegrityError, NotFound, Unavailable
from lamina.formats.oci import INDEX
from lamina.formats.tar_reader import is_header
from lamina.images.readers.blobs import Blobs
from lamina.images.readers.docker import MANIFEST, docker_images
from lamina.images.readers.members import ArchiveMembers, FolderMembers, Members
from lamina.images.readers.oci import oci_images
from lamina.images.readers.source_image import SourceImage, deduplicate
from lamina.images.readers.unpack import Unpacker, extent_of
from lamina.messages.redaction import short_repr
from lamina.system.extents import read_head


def open_images(path: Path, max_unpacked: int | None = None) -> tuple[SourceImage, ...]:
    """Return the images at ``path``: a docker-archive, an OCI layout in a tar, both plain or compressed with gzip, zstd
    or xz, or an OCI layout as a folder.

    An index may hold images of several platforms: all of them come back. Of a file that has a ``manifest.json`` and an
    ``index.json``, as docker and containerd write it, the images of the former come first; the latter may have other
    platforms and more names. All that is unpacked takes at most ``max_unpacked`` bytes; None is the default.

    Raises `NotFound` and `Unavailable` if it cannot be read, `FormatError` if it is no image or not whole,
    `IntegrityError` if it contradicts itself, `OutputError` if there is no room to unpack.
    """
    unpacker = Unpacker(max_unpacked)
    try:
        blobs = Blobs(_members(path, unpacker), unpacker)
        return _images(blobs)
    except (FormatError, IntegrityError, Unavailable) as error:
        raise _with_path(path, error) from error


def _images(blobs: Blobs) -> tuple[SourceImage, ...]:
    """Those of ``manifest.json`` first, each once, with all its names and the platform that the index says."""
    has_index = blobs.has(INDEX)
    listed = docker_images(blobs) if blobs.has(MANIFEST) or not has_index else ()
    indexed = oci_images(blobs, allow_empty=bool(listed)) if has_index else ()
    found = deduplicate((*listed, *indexed))
    if not found:
        raise FormatError(f"{MANIFEST}: got no images, expected at least one, as in a docker-archive")
    return found


def _members(path: Path, unpacker: Unpacker) -> Members:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return _folder(path)
        if stat.S_ISREG(mode):
            plain = extent_of(Path(os.path.realpath(path)))
            if detect_image_compression(read_head(plain, MAGIC_SIZE)) == "none":
                return ArchiveMembers(plain)
        with path.open("rb", buffering=0) as file:
            return ArchiveMembers(unpacker.unpack(file, _accept).content)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path}: got {error.strerror}, expected an image file") from error
    except ValueError as error:
        raise NotFound(f"{short_repr(str(path))}: got {error}, expected an image file") from error
    except OSError as error:
        raise Unavailable(f"got {error.strerror}, expected a readable image file") from error
    except FormatError as error:
        raise FormatError(f"{error}, as in a docker-archive or an OCI layout", hint=error.hint) from error


def _folder(path: Path) -> Members:
    members = FolderMembers(path)
    if not members.find(INDEX) and not members.find(MANIFEST):
        raise NotFound(f"{path}: got a folder without {INDEX}, expected an image file or an OCI layout")
    return members


def _accept(start: bytes) -> None:
    """Refuses what is no tar before more of it is unpacked: a device may go on without end."""
    if not is_header(start):
        raise FormatError("got no tar header at byte 0, expected one")


def _with_path(path: Path, error: Error) -> Error:
    text = str(error)
    return error if text.startswith(f"{path}: ") else type(error)(f"{path}: {text}", hint=error.hint)
