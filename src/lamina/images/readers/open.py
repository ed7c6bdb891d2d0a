"""Open image files and folders of any program.

An uncompressed archive of uncompressed layers is read in place, without copying anything.

Invariant: every byte of a returned image has been checked, unless its layers are left unread.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

from lamina.compression.streams import MAGIC_SIZE, detect_compression
from lamina.core.progress import COPIED, Progress
from lamina.errors import FormatError, InputError, IntegrityError, Unavailable
from lamina.formats.docker import MANIFEST
from lamina.formats.oci import INDEX
from lamina.formats.tar_reader import is_header
from lamina.images.readers.blobs import Blobs
from lamina.images.readers.docker import read_docker_images
from lamina.images.readers.members import ArchiveMembers, FolderMembers, Members
from lamina.images.readers.oci import read_oci_images
from lamina.images.readers.references import make_directory_error
from lamina.images.readers.select import ImageFile, select_by_name
from lamina.images.readers.source_image import SourceImage, deduplicate
from lamina.images.readers.unpack import Unpacker, get_extent
from lamina.messages.redaction import short_repr
from lamina.system.extents import read_head
from lamina.system.progress_reporter import FileProgress
from lamina.system.transfer import OnBytes

# The file by which a folder of skopeo's transport ``dir:`` is recognised, and its beginning (containers/image,
# directory).
_DIRECTORY_VERSION, _DIRECTORY_MARK = "version", b"Directory Transport Version"


def open_images(
    path: Path,
    max_unpacked: int | None = None,
    progress: Progress | None = None,
    *,
    name: str | None = None,
    subject: object = None,
    reads_layers: bool = True,
) -> tuple[SourceImage, ...]:
    """Return the images in the file or folder at ``path``.

    ``path`` is a docker-archive or an OCI layout in a tar, uncompressed or compressed with gzip, zstd or xz, or a
    folder that is an OCI layout.

    Images for all platforms of an index are returned. docker and containerd write files with both a ``manifest.json``
    and an ``index.json``. The images of ``manifest.json`` then come first, and ``index.json`` may add other platforms
    and more names.

    Args:
        path: the file or folder.
        max_unpacked: the most bytes that all unpacked data may take; None is the default of `Unpacker`.
        progress: receives the progress: the unpacking of a compressed file, then the layers of each image.
        name: a name that the caller selects by afterwards, or None. Images of other names in an OCI layout need not be
            read then, and are left out.
        subject: what messages call the file; ``path`` by default.
        reads_layers: false to leave the layers unread and unchecked, as `Blobs` says.

    Raises:
        NotFound: the path does not exist, or is a folder without an image.
        Unavailable: the path cannot be read.
        FormatError: the file is not an image, or is incomplete.
        IntegrityError: digests, sizes or documents of the image do not match.
        OutputError: there is not enough space to unpack the image.

    """
    unpacker = Unpacker(max_unpacked)
    try:
        blobs = Blobs(_open_members(path, unpacker, progress), unpacker, progress, reads_layers=reads_layers)
        return _read_images(blobs, name)
    except Unavailable as error:  # functions that read extents raise errors meant for stores
        raise error.convert(InputError).add_context(subject or path) from error
    except (FormatError, InputError, IntegrityError) as error:
        error.add_context(subject or path)
        raise


def open_named_images(
    source: ImageFile, max_unpacked: int | None = None, progress: Progress | None = None, *, reads_layers: bool = True
) -> tuple[SourceImage, ...]:
    """Return the images of a file that have the name in ``source``, or all of them if it has none.

    The other parameters and the errors are those of `open_images`; and `NotFound` if no image has the name.
    """
    images = open_images(source.path, max_unpacked, progress, name=source.name, reads_layers=reads_layers)
    return images if source.name is None else select_by_name(images, source.name, source.path, source.name_hint)


def _read_images(blobs: Blobs, name: str | None) -> tuple[SourceImage, ...]:
    """Return each image once, those of ``manifest.json`` first, with all its names and the index's platform."""
    has_index = blobs.has(INDEX)
    from_manifest = read_docker_images(blobs) if blobs.has(MANIFEST) or not has_index else ()
    # A manifest.json may give an image of the index more names.
    name_in_index = None if from_manifest else name
    from_index = read_oci_images(blobs, allow_empty=bool(from_manifest), name=name_in_index) if has_index else ()
    images = deduplicate((*from_manifest, *from_index))
    if not images:
        raise FormatError(MANIFEST, "no images", "at least one, as in a docker-archive")
    return images


def _open_members(path: Path, unpacker: Unpacker, progress: Progress | None) -> Members:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return _open_folder(path)
        if stat.S_ISREG(mode):
            plain = get_extent(Path(os.path.realpath(path)))
            if detect_compression(read_head(plain, MAGIC_SIZE)) == "none":
                return ArchiveMembers(plain)
        with path.open("rb", buffering=0) as file:
            reported = FileProgress(progress, f"Unpacking {path.name}", path.name, os.fstat(file.fileno()).st_size)
            content = unpacker.unpack(_ReportedFile(file, reported.advance), _require_tar_header).content
            reported.finish(COPIED, content.length)
            return ArchiveMembers(content)
    except OSError as error:
        raise InputError(path, error, "an image file") from error
    except ValueError as error:
        raise InputError(short_repr(str(path)), error, "an image file") from error
    except FormatError as error:
        error.expected += ", as in a docker-archive or an OCI layout"
        raise


class _ReportedFile:
    """A file of which ``on_bytes`` is called with the size of each portion that was read."""

    def __init__(self, file: io.FileIO, on_bytes: OnBytes) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def readinto(self, buffer: Any, /) -> int | None:
        """Fill the beginning of ``buffer`` and return the number of bytes; 0 means the end."""
        length = self._file.readinto(buffer)
        self._on_bytes(length or 0)
        return length


def _open_folder(path: Path) -> Members:
    members = FolderMembers(path)
    version = members.find(_DIRECTORY_VERSION)
    if not members.find(INDEX) and version and read_head(version, len(_DIRECTORY_MARK)).startswith(_DIRECTORY_MARK):
        raise make_directory_error(path)
    if not members.find(INDEX) and not members.find(MANIFEST):
        raise InputError(path, f"a folder without {INDEX}", "an image file or an OCI layout")
    return members


def _require_tar_header(start: bytes) -> None:
    """Raise `FormatError` unless ``start`` is a tar header.

    The check is made before more is unpacked, because a device such as /dev/zero never ends.
    """
    if not is_header(start):
        raise FormatError(got="no tar header at byte 0", expected="one")
