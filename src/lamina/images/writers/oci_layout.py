"""The OCI layout as a folder: images whose blobs are files under their digests.

Invariant: under a blob's name there is the whole blob; the index is replaced when all that it names is there, so that
a reader, and a run that is cut off, see the old image or the new one. Blobs that are there already are not written
again, and none is taken away.

OCI image-spec 1.1, "Image Layout".
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from lamina.compression.compressors import LayerCompression
from lamina.core.names import Digest, ImageReference
from lamina.core.nodes import Extent
from lamina.errors import Error, FormatError, InvalidArgument, OutputError, output_error
from lamina.formats.docker import HistoryItem
from lamina.formats.json_toml import parse_json
from lamina.formats.oci import (
    CONFIG_TYPE,
    INDEX,
    LAYER_TYPE,
    LAYOUT,
    LAYOUT_JSON,
    MANIFEST_TYPE,
    Descriptor,
    blob_name,
    dump_manifest,
    update_index,
)
from lamina.images.image import Draft, Image
from lamina.images.progress import NoProgress, Progress
from lamina.layers.blob_writer import BlobWriter, WrittenBlob
from lamina.layers.context import BuildContext
from lamina.messages.redaction import short_repr
from lamina.system.extents import read_head
from lamina.system.output import atomic_write
from lamina.system.tempdir import TempDir
from lamina.system.temporary import is_part
from lamina.system.transfer import BlobInfo, hash_pieces

_LONGEST_INDEX = 20 << 20


class OciLayout:
    """Writes drafts into the layout in ``folder``, which is made where it is not there."""

    def __init__(
        self,
        folder: Path,
        compression: LayerCompression,
        progress: Progress | None = None,
        context: BuildContext | None = None,
        warn: Callable[[str], object] = len,
    ) -> None:
        self._folder = folder
        self._compression = compression
        self._progress = progress or NoProgress()
        self._context = context or BuildContext()
        self._warn = warn

    def write(self, draft: Draft) -> Image:
        """Adds one image and says what it is.

        Raises what the store raises, `IntegrityError`, `InvalidArgument` for a folder that is something else,
        `FormatError` for an index that is none, `OutputError`.
        """
        settings = draft.settings
        with _open_layout(self._folder, verify=self._context.verify) as folder:
            self._progress.begin(len(draft.layers), len(draft.base))
            with BlobWriter(draft.layers, self._context, self._compression, folder) as filing:
                written = [self._report_layer(number, item) for number, item in enumerate(filing, 1)]
            self._progress.manifests()
            history = [HistoryItem(item.layer.diff_id, item.source.comment) for item in written]
            document, _, reference = settings.dump_config(history)
            config = Descriptor(CONFIG_TYPE, folder.add(document), len(document))
            renamed = folder.tag(reference, self._manifest(folder, config, written), settings.config.architecture)
        for name in renamed:
            self._warn(
                f"{self._folder}: the tag {reference.tag} now names {reference}; skopeo and podman find {name} as "
                f"oci:{self._folder}:{name}"
            )
        image = Image(config.digest, reference, tuple(item.layer for item in written))
        self._progress.done(image)
        return image

    def _report_layer(self, number: int, item: WrittenBlob) -> WrittenBlob:
        self._progress.layer(number, item.source, item.layer.size)
        self._progress.advance(item.layer.size)
        return item

    def _manifest(self, folder: _LayoutBlobs, config: Descriptor, written: list[WrittenBlob]) -> Descriptor:
        media_type = LAYER_TYPE + self._compression.media_suffix
        layers = [Descriptor(media_type, item.blob.digest, item.blob.size) for item in written]
        document = dump_manifest(config, layers)
        return Descriptor(MANIFEST_TYPE, folder.add(document), len(document))


@contextlib.contextmanager
def _open_layout(path: Path, *, verify: bool) -> Iterator[_LayoutBlobs]:
    """Open the layout at ``path`` for the block; what was begun in it and not ended is removed again."""
    try:
        if (
            os.path.exists(path)
            and not os.path.exists(path / LAYOUT)
            and any(not _is_layout_file(name) for name in os.listdir(path))
        ):
            raise InvalidArgument(
                f"{path}: got a folder with other things in it, expected an OCI layout or an empty folder",
                hint="name a new folder, or a file inside it",
            )
        os.makedirs(path / "blobs" / "sha256", exist_ok=True)
    except NotADirectoryError as error:
        raise InvalidArgument(f"{path}: got a file, expected a folder") from error
    except FileExistsError as error:
        raise InvalidArgument(f"{path}: got a file, expected a folder") from error
    except OSError as error:
        raise output_error(str(path), error) from error
    _mark_layout(path)
    try:
        workspace = TempDir(parent=path)
    except OSError as error:
        raise output_error(str(path), error) from error
    with workspace:
        yield _LayoutBlobs(path, workspace.path, verify=verify)


def _mark_layout(path: Path) -> None:
    """Writes what marks a folder as a layout; raises `FormatError` where something else stands there."""
    mark = path / LAYOUT
    if not os.path.exists(mark):
        with atomic_write(mark) as write:
            write(memoryview(LAYOUT_JSON))
    found = parse_json(_content(mark) or b"", str(mark), "JSON, as in an OCI layout")
    if not isinstance(found, dict) or not isinstance(found.get("imageLayoutVersion"), str):
        raise FormatError(f"{mark}: got {short_repr(found)}, expected an object with imageLayoutVersion")


def _is_layout_file(name: str) -> bool:
    return name == "blobs" or is_part(name)


class _LayoutBlobs:
    """Blobs in files: a `BlobStore`. They are written in ``workspace``, a folder of the same file system.

    With ``verify`` a blob is only taken for present where its bytes are what its name says.
    """

    def __init__(self, path: Path, workspace: Path, *, verify: bool) -> None:
        self._path = path
        self._workspace = workspace
        self._verify = verify
        self._numbers = count()

    def has(self, blob: BlobInfo) -> bool:
        """Whether the blob is there."""
        file = self._path / blob_name(blob.digest)
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
        """Make a new empty file in the layout. Raises `OutputError`."""
        part = self._workspace / str(next(self._numbers))
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except OSError as error:
            raise output_error(str(part), error) from error
        return part

    def commit(self, part: Path, blob: BlobInfo) -> None:
        """Gives what was begun its name, or takes it away where the blob is there. Raises `OutputError`."""
        try:
            if self.has(blob):
                part.unlink()
            else:
                os.replace(part, self._path / blob_name(blob.digest))
        except OSError as error:
            raise output_error(str(self._path), error) from error

    def add(self, document: bytes) -> Digest:
        """The blob of a document, there now."""
        blob = BlobInfo(Digest(hashlib.sha256(document).digest()), len(document))
        if not self.has(blob):
            with atomic_write(self._path / blob_name(blob.digest)) as write:
                write(memoryview(document))
        return blob.digest

    def tag(self, reference: ImageReference, manifest: Descriptor, architecture: str) -> tuple[str, ...]:
        """Make ``manifest`` the image of that name, and return those that lose the bare tag by that.

        Raises `FormatError`, `OutputError`.
        """
        index = self._path / INDEX
        with _lock_index(self._path / LAYOUT):
            try:
                named = update_index(_content(index), manifest, reference, architecture)
            except FormatError as error:
                raise FormatError(f"{self._path}: {error}", hint=error.hint) from error
            with atomic_write(index) as write:
                write(memoryview(named.document))
        return named.renamed


def _content(file: Path) -> bytes | None:
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{file}: got no file, expected one, as in an OCI layout")
        return read_head(Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns), _LONGEST_INDEX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{file}: got {error.strerror}, expected to read it") from error


@contextlib.contextmanager
def _lock_index(file: Path) -> Iterator[None]:
    """Keeps other runs from replacing the index meanwhile, on systems that have such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # where there are no locks, as on some network file systems
            locked = stack.enter_context(file.open("rb"))
            fcntl.flock(locked, fcntl.LOCK_EX)
        yield
