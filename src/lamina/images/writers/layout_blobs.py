"""The blobs and the index of an OCI layout that is written to (OCI image-spec 1.1, "Image Layout").

Existing blobs are neither written again nor removed, and the index is replaced as a whole.

Invariant: a file with a blob's name contains the complete blob.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from lamina.core.names import Digest, ImageReference
from lamina.core.nodes import Extent
from lamina.core.progress import REUSED, ProgressItem
from lamina.errors import Error, FormatError, InvalidArgument, error_context, output_error
from lamina.formats.annotations import Annotations
from lamina.formats.json_toml import parse_json
from lamina.formats.oci import (
    INDEX,
    INDEX_TYPE,
    LAYOUT,
    LAYOUT_JSON,
    Descriptor,
    UpdatedIndex,
    blob_path,
    parse_layers,
    update_index,
)
from lamina.formats.platform import NO_PLATFORM, Platform
from lamina.images.layout_lock import lock_blobs
from lamina.layers.blob_writer import OnStored
from lamina.layers.temporary_blobs import PartFiles
from lamina.messages.redaction import short_repr
from lamina.system.documents import read_document
from lamina.system.locks import FileLock
from lamina.system.output import atomic_write
from lamina.system.tempdir import TempDir
from lamina.system.temporary import is_part
from lamina.system.transfer import BlobInfo, hash_pieces

_MAX_INDEX_SIZE = 20 << 20


@contextlib.contextmanager
def open_layout(path: Path, *, verify: bool) -> Iterator[LayoutBlobs]:
    """Open the layout at ``path``, or create it, for the block, in which no other process removes a blob.

    Unfinished blobs are removed when the block ends.
    """
    try:
        if (
            os.path.exists(path)
            and any(not _is_layout_file(name) for name in os.listdir(path))
            # Looked up last: another process may be creating the layout, and writes this file before its others.
            and not os.path.exists(path / LAYOUT)
        ):
            raise InvalidArgument(
                path,
                "a folder with other files",
                "an OCI layout or an empty folder",
                hint="name a new folder, or a file inside it",
            )
        os.makedirs(path / "blobs" / "sha256", exist_ok=True)
    except NotADirectoryError as error:
        raise InvalidArgument(path, "a file", "a folder") from error
    except FileExistsError as error:
        raise InvalidArgument(path, "a file", "a folder") from error
    except OSError as error:
        raise output_error(str(path), error) from error
    _mark_layout(path)
    with lock_blobs(path, shared=True), _create_workspace(path) as workspace:
        yield LayoutBlobs(path, workspace.path, verify=verify)


def _create_workspace(path: Path) -> TempDir:
    try:
        return TempDir(parent=path)
    except OSError as error:
        raise output_error(str(path), error) from error


def _mark_layout(path: Path) -> None:
    """Write the file that marks a folder as a layout. Raises `FormatError` if the file exists with other content."""
    file = path / LAYOUT
    if not os.path.exists(file):
        with atomic_write(file) as out:
            out.write(memoryview(LAYOUT_JSON))
    document = parse_json(_read_file(file) or b"", str(file), "JSON, as in an OCI layout")
    if not isinstance(document, dict) or not isinstance(document.get("imageLayoutVersion"), str):
        raise FormatError(file, short_repr(document), "an object with imageLayoutVersion")


def _is_layout_file(name: str) -> bool:
    return name == "blobs" or is_part(name)


class LayoutBlobs:
    """The blobs of a layout as a `BlobStore`.

    New blobs are written in ``workspace``, a folder on the same file system. With ``verify``, a blob counts as present
    only if its bytes match the digest in its name.
    """

    def __init__(self, path: Path, workspace: Path, *, verify: bool) -> None:
        self._path = path
        self._parts = PartFiles(workspace, 0o666)
        self._verify = verify
        self.new: list[BlobInfo] = []
        """The blobs that were committed and were not present."""

    def find(self, blobs: Collection[BlobInfo]) -> Mapping[BlobInfo, str]:
        """Return those of ``blobs`` that are present."""
        return {blob: REUSED for blob in blobs if self._has(blob)}

    def _has(self, blob: BlobInfo) -> bool:
        file = self._path / blob_path(blob.digest)
        try:
            status = os.stat(file)
        except OSError:
            return False
        if status.st_size != blob.size:
            return False
        if not self._verify:
            return True
        with contextlib.suppress(Error):
            return hash_pieces([Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)]) == blob
        return False

    def create(self) -> Path:
        """Create a new empty file in the layout and return its path. Raises `OutputError`."""
        return self._parts.create()

    def commit(self, part: Path, blob: BlobInfo, made: str, item: ProgressItem, on_stored: OnStored) -> None:
        """Rename ``part`` to the blob's name, or remove it if the blob is present. Raises `OutputError`."""
        try:
            is_present = self._has(blob)
            if is_present:
                part.unlink()
            else:
                os.replace(part, self._path / blob_path(blob.digest))
                self.new.append(blob)
        except OSError as error:
            raise output_error(str(self._path), error) from error
        on_stored(REUSED if is_present else made)

    def add(self, document: bytes) -> Digest:
        """Write ``document`` as a blob, if it is not present, and return its digest."""
        blob = BlobInfo(Digest(hashlib.sha256(document).digest()), len(document))
        if not self._has(blob):
            with atomic_write(self._path / blob_path(blob.digest)) as out:
                out.write(memoryview(document))
        return blob.digest

    def tag(
        self, reference: ImageReference, manifest: Descriptor, platform: Platform, *, keeps_platforms: bool = False
    ) -> UpdatedIndex:
        """Point the name ``reference`` at ``manifest`` in the index, and return what that changed.

        skopeo and podman find an image that lost its bare tag by its ``NAME:TAG``.

        Args:
            reference: the name.
            manifest: the descriptor of the image's manifest.
            platform: the platform of the image.
            keeps_platforms: whether images of the same name for other platforms stay in the index.

        Raises:
            FormatError: the index is invalid.
            OutputError: the index cannot be written.

        """
        index = self._path / INDEX
        with FileLock(self._path / LAYOUT, str(self._path)):
            with error_context(self._path, FormatError):
                updated = update_index(
                    _read_file(index), manifest, reference, platform, keeps_platforms=keeps_platforms
                )
            with atomic_write(index) as out:
                out.write(memoryview(updated.document))
        return updated

    def tag_index(self, reference: ImageReference, document: bytes, annotations: Annotations = ()) -> UpdatedIndex:
        """Add an image index as a blob, and point the name ``reference`` at it, after its manifests were added.

        Args:
            reference: the name, which no other image has afterwards.
            document: the index as JSON, of OCI's media type.
            annotations: those of the index, which its entry in ``index.json`` has too.

        Raises what `tag` raises.
        """
        descriptor = Descriptor(INDEX_TYPE, self.add(document), len(document), annotations)
        return self.tag(reference, descriptor, NO_PLATFORM)

    def list_layers(self, manifest: Digest | None) -> tuple[BlobInfo, ...] | None:
        """Return the layers' blobs of an image in the layout; None if its manifest is None, missing or invalid."""
        if manifest is None:
            return None
        file = self._path / blob_path(manifest)
        with contextlib.suppress(Error):
            layers = parse_layers(_read_file(file) or b"", str(file))
            return tuple(BlobInfo(layer.digest, layer.size) for layer in layers)
        return None

    def list_platform_layers(self, index: Digest | None) -> Mapping[Platform, tuple[BlobInfo, ...]]:
        """Return the layers' blobs of each image that an index lists; none if the index is None, missing or invalid."""
        if index is None:
            return {}
        from lamina.images.readers.oci_manifests import IndexReader

        subject = str(self._path / blob_path(index))
        found: dict[Platform, tuple[BlobInfo, ...]] = {}
        with contextlib.suppress(Error):
            document = parse_json(_read_file(self._path / blob_path(index)) or b"", subject)
            for entry in IndexReader(lambda _: None).read_entries(document, subject):
                layers = self.list_layers(entry.descriptor.digest)
                if layers is not None:
                    found[entry.platform] = layers
        return found


def explain_renamed(folder: Path, reference: ImageReference, updated: UpdatedIndex) -> tuple[str, ...]:
    """Return a warning for each image that lost its bare tag to ``reference``."""
    return tuple(
        f"{folder}: the tag {reference.tag} now names {reference}; skopeo and podman find {name} as oci:{folder}:{name}"
        for name in updated.renamed
    )


def _read_file(file: Path) -> bytes | None:
    if not os.path.exists(file):
        return None
    if not os.path.isfile(file):
        raise FormatError(file, "no file", "one, as in an OCI layout")
    return read_document(file, str(file), "JSON, as in an OCI layout", limit=_MAX_INDEX_SIZE)
