"""Write OCI layouts (OCI image-spec 1.1, "Image Layout"): folders in which blobs are files named by their digests.

The index is replaced only after everything that it refers to has been written. A reader therefore sees the old image or
the new one, even if the run was interrupted. Existing blobs are neither written again nor removed.

Invariant: a file with a blob's name contains the complete blob.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.callbacks import ignore
from lamina.core.names import Digest, ImageReference
from lamina.core.nodes import Extent
from lamina.core.progress import REUSED, Progress, ProgressItem
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
from lamina.formats.platform import Platform
from lamina.images.blob_totals import add_up_update
from lamina.images.image import BuildResult, Draft
from lamina.images.image_documents import make_documents
from lamina.images.layout_lock import lock_blobs
from lamina.layers.blob_writer import BlobWriter, OnStored
from lamina.layers.context import BuildContext
from lamina.layers.layer import list_items
from lamina.layers.temporary_blobs import PartFiles
from lamina.messages.redaction import short_repr
from lamina.system.documents import read_document
from lamina.system.locks import FileLock
from lamina.system.output import atomic_write
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.tempdir import TempDir
from lamina.system.temporary import is_part
from lamina.system.transfer import BlobInfo, hash_pieces

_MAX_INDEX_SIZE = 20 << 20
# An index of images for several platforms is for none of them.
_NO_PLATFORM = Platform("", "")


class OciLayout:
    """Writes drafts into an OCI layout.

    Args:
        folder: The layout, which is created if it does not exist.
        compression: How each layer is compressed; by default not at all.
        progress: Receives the progress of the work.
        context: The layer cache and the number of processors; by default no layer cache and one processor.
        warn: Is called with the text of each warning.
    """

    def __init__(
        self,
        folder: Path,
        compression: LayerCompression = NO_LAYER_COMPRESSION,
        progress: Progress | None = None,
        context: BuildContext | None = None,
        warn: Callable[[str], object] = ignore,
    ) -> None:
        self._folder = folder
        self._compression = compression
        self._progress = ProgressReporter(progress)
        self._context = context or BuildContext()
        self._warn = warn

    def write(self, draft: Draft) -> BuildResult:
        """Add one image to the layout.

        Args:
            draft: the image.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            InvalidArgument: ``folder`` exists and is not an OCI layout.
            FormatError: the layout's index is invalid.
            IntegrityError: a file changed while it was read, or a layer differs from its entry in the layer cache.
            OutputError: the layout cannot be written.

        Errors of the store are passed on.

        """
        settings = draft.settings
        with open_layout(self._folder, verify=self._context.verify) as blobs:
            sources = draft.layers
            items = list_items(sources)
            self._progress.begin(draft.describe_work(items))
            with BlobWriter(sources, self._context, self._compression, blobs, self._progress, items) as blob_writer:
                written = list(blob_writer)
            self._progress.documents()
            documents = make_documents(settings, written, self._compression)
            reference, manifest = documents.reference, documents.descriptor
            blobs.add(documents.config)
            blobs.add(documents.manifest)
            tagged = blobs.tag(reference, manifest, documents.platform)
            stored = tuple(item.blob for item in written)
            replaced = stored if tagged.replaced == manifest.digest else blobs.list_layers(tagged.replaced)
        for warning in explain_renamed(self._folder, reference, tagged):
            self._warn(warning)
        self._progress.done()
        return BuildResult(
            documents.config_digest,
            reference,
            tuple(item.layer for item in written),
            settings.config.platform,
            stored,
            len(blobs.new),
            sum(blob.size for blob in blobs.new),
            update=None if replaced is None else add_up_update(replaced, stored),
        )


@contextlib.contextmanager
def open_layout(path: Path, *, verify: bool) -> Iterator[LayoutBlobs]:
    """Open the layout at ``path``, or create it, for the block, in which no other process removes a blob.

    Unfinished blobs are removed when the block ends.
    """
    try:
        if (
            os.path.exists(path)
            and not os.path.exists(path / LAYOUT)
            and any(not _is_layout_file(name) for name in os.listdir(path))
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
        return self.tag(reference, descriptor, _NO_PLATFORM)

    def list_layers(self, manifest: Digest | None) -> tuple[BlobInfo, ...] | None:
        """Return the layers' blobs of an image in the layout; None if its manifest is None, missing or invalid."""
        if manifest is None:
            return None
        file = self._path / blob_path(manifest)
        with contextlib.suppress(Error):
            layers = parse_layers(_read_file(file) or b"", str(file))
            return tuple(BlobInfo(layer.digest, layer.size) for layer in layers)
        return None


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
