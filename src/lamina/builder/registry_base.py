"""A base image in a registry, of which only the manifest and the config are read at first.

Its layers are fetched together when the first of them is needed: to write them to a file, or to find out what the base
has at a path of the new image's root. A push to a registry needs neither their bytes nor their tars.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock

from lamina.builder.base_image import ARCHITECTURE_HINT, MISMATCH_HINT, RegistryAccess
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.core.progress import COPIED, Progress
from lamina.errors import PlanError
from lamina.formats.docker import store_paths_comment
from lamina.formats.oci import blob_path
from lamina.formats.platform import Platform
from lamina.formats.registry_references import RegistryReference
from lamina.images.blob_cache import BlobCache
from lamina.images.fetch import fetch_layers
from lamina.images.readers.open import open_images
from lamina.images.readers.registry_image import (
    RegistryImage,
    RegistryLayer,
    name_image,
    read_registry_images,
    skip_bytes,
)
from lamina.images.readers.source_image import SourceLayer
from lamina.images.writers.layout_blobs import open_layout
from lamina.layers.layer import LayerSource, StoredBlob
from lamina.layers.packed import PackedLayer
from lamina.layers.temporary_blobs import create_blob_folder
from lamina.registry.blobs import read_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.open import open_repository
from lamina.system.extents import iter_extent
from lamina.system.tempdir import TempDir
from lamina.system.transfer import BlobInfo


def open_registry_base(
    reference: RegistryReference,
    access: RegistryAccess,
    architecture: str | None,
    default_architecture: Callable[[], str | None],
) -> tuple[RegistryImage, tuple[RegistryBaseLayer, ...], BaseLayers]:
    """Read the manifest and the config of a base image; return the image, its layers, and what fetches them.

    Args:
        reference: the image.
        access: how it is read.
        architecture: selects one of several platforms.
        default_architecture: returns the architecture if ``architecture`` is None and there are several platforms.

    Raises:
        PlanError: no image is for the architecture, or none was named and there are several platforms.
        Error: those of `read_registry_images`.

    """

    def choose_platform(offered: Sequence[Platform]) -> Platform | None:
        if len(offered) < 2:
            return None
        if chosen := default_architecture():
            return Platform.parse(chosen)
        got = f"images for {', '.join(map(str, offered))}"
        raise PlanError(reference, got, "to be told which", hint=ARCHITECTURE_HINT)

    wanted = Platform.parse(architecture) if architecture else None
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(open_repository(reference, insecure=access.insecure))
        image = read_registry_images(connection, reference, wanted, choose_platform, MISMATCH_HINT)[0]
        stack.pop_all()
    contents = BaseLayers(image, connection, access)
    return image, tuple(RegistryBaseLayer(layer, n, contents) for n, layer in enumerate(image.layers, 1)), contents


class BaseLayers:
    """The layers of a base image, which are fetched when they are first read; safe for many threads.

    It closes ``connection``, which is the same for all layers, so that there is one login.
    """

    def __init__(self, image: RegistryImage, connection: RegistryConnection, access: RegistryAccess) -> None:
        self._image = image
        self._connection = connection
        self._access = access
        self._lock = RLock()
        self._workspace: TempDir | None = None
        self._fetched: tuple[SourceLayer, ...] = ()

    def read(self, progress: Progress | None = None) -> tuple[SourceLayer, ...]:
        """Return the layers, from the lowest up, whose bytes have been checked.

        Args:
            progress: receives the progress of fetching them, if they were not fetched before.

        Raises:
            RegistryError: the registry lacks a layer, or failed.
            AuthError: the registry refuses the credentials.
            IntegrityError: a layer does not match its digests.
            FormatError: a layer is no tar.
            OutputError: the layers cannot be stored.

        """
        with self._lock:
            if self._workspace is None:
                self._fetch(progress)
            return self._fetched

    @property
    def repository(self) -> str:
        """The repository that has them, ``HOST[:PORT]/NAME``."""
        return self._image.reference.name

    def find(self, number: int) -> SourceLayer | None:
        """Return layer ``number``, counted from 1, if the layers have been fetched."""
        return self._fetched[number - 1] if self._fetched else None

    def open_blob(self, number: int, start: int) -> Iterator[bytes]:
        """Yield the blob of layer ``number`` from byte ``start`` on, which is read from a file if it was fetched."""
        if fetched := self.find(number):
            yield from iter_extent(fetched.blob, start)
            return
        layer = self._image.layers[number - 1]
        yield from skip_bytes(read_blob(self._connection, layer.digest, layer.size), start)

    def close(self) -> None:
        """Close the connection, and remove the temporary files."""
        self._connection.close()
        for layer in self._fetched:
            if layer.workspace:
                layer.workspace.close()
        if self._workspace:
            self._workspace.close()

    def _fetch(self, progress: Progress | None) -> None:
        cache = self._access.blob_cache
        workspace = _create_workspace(cache)
        folder, image = workspace.path / "layout", self._image
        with open_layout(folder, verify=False) as blobs:
            fetch_layers(self._connection, image, blobs, cache, progress, self._access.max_unpacked)
            blobs.tag(name_image(image.reference, image.digest), image.manifest.descriptor, image.effective_platform)
        if cache:
            for layer in image.layers:
                cache.add(BlobInfo(layer.digest, layer.size), folder / blob_path(layer.digest))
            cache.close()
        (opened,) = open_images(folder, self._access.max_unpacked, subject=image.reference)
        self._fetched, self._workspace = opened.layers, workspace


@dataclass(frozen=True, slots=True)
class RegistryBaseLayer(LayerSource):
    """A layer of a base image in a registry.

    Attributes:
        layer: the layer as the manifest and the config describe it.
        number: its place, counted from 1.
        contents: fetches it.
        is_shared: whether other images have the layer too, so that closing it does nothing.
    """

    layer: RegistryLayer
    number: int
    contents: BaseLayers = field(repr=False, compare=False)
    is_shared: bool = field(default=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The name of the layer for people."""
        return f"base image, layer {self.number}"

    @property
    def comment(self) -> str:
        """The comment on it in the image's history; it is the same if the base image is an OCI layout."""
        return store_paths_comment([blob_path(self.layer.digest)])

    @property
    def expected_diff_id(self) -> Digest:
        """The diff ID in the config of the base image."""
        return self.layer.diff_id

    @property
    def outcome(self) -> str:
        """The word for how its bytes are made: they are copied."""
        return COPIED

    @property
    def weight(self) -> int:
        """The size of the blob in bytes; that of the tar once it was fetched."""
        fetched = self.contents.find(self.number)
        return fetched.tar.length if fetched else self.layer.size

    @property
    def stored_blob(self) -> StoredBlob:
        """The blob in the registry."""
        fetched = self.contents.find(self.number)
        plain = BlobInfo(self.layer.diff_id, fetched.tar.length if fetched else self.layer.size)
        return StoredBlob(self.layer.descriptor, plain, self._open, self.contents.repository)

    @property
    def hashed(self) -> BlobInfo | None:
        """The digest and size of its tar if it was fetched, because it was checked then."""
        fetched = self.contents.find(self.number)
        return BlobInfo(fetched.diff_id, fetched.tar.length) if fetched else None

    def _open(self, start: int) -> Iterable[bytes]:
        return self.contents.open_blob(self.number, start)

    def headline(self, number: int) -> str:
        """Return the progress message to print before the layer is written."""
        return f"Adding base layer {self.number} from {blob_path(self.layer.digest)}"

    def find_tar(self) -> Extent:
        """Return the tar, which is fetched now if it was not before."""
        return self.contents.read()[self.number - 1].tar

    def pack(self) -> PackedLayer:
        """Return the tar as it is in the file, which is fetched now if it was not before."""
        tar = self.find_tar()
        return PackedLayer(tar.length, iter((tar,)))

    def close(self) -> None:
        """Close the connection, and remove the temporary files."""
        if not self.is_shared:
            self.contents.close()

    def share(self) -> RegistryBaseLayer:
        """Return the same layer, which leaves the connection and the files to this one."""
        return replace(self, is_shared=True)


def _create_workspace(cache: BlobCache | None) -> TempDir:
    """Create a temporary folder, inside the blob cache if that can be written, so that blobs can be linked."""
    if cache:
        with contextlib.suppress(OSError):
            cache.folder.mkdir(parents=True, exist_ok=True)
            return TempDir(parent=cache.folder)
    return create_blob_folder()
