"""The three states of a layer: planned, ready to be packed, and hashed.

    LayerPlan            LayerSource            Layer
    which paths     →    + nodes: can be     →  + digest: a named blob
                         packed

Invariant: a source can be packed any number of times, and every time it gives the same bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from lamina.core.callbacks import accept, ignore
from lamina.core.labels import CUSTOMISATION_LAYER, shorten_digest, summarize_layer_paths
from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Extent, Node
from lamina.core.progress import COPIED, PACKED, ProgressItem
from lamina.formats.docker import store_paths_comment
from lamina.formats.oci import Descriptor
from lamina.formats.tar import Owner, PaxHeaders
from lamina.layer_cache.key import LayerInputs
from lamina.layering.plans import LayerPlan
from lamina.layers.listings import LocatedLayer, LocatedPath
from lamina.layers.packed import PackedLayer, check_names, list_entries, measure_entries, pack_entries
from lamina.messages.sizes import format_size
from lamina.system.locations import Location
from lamina.system.tempdir import TempDir
from lamina.system.transfer import BlobInfo

ReadNodes = Callable[[StorePath], Iterable[Node]]
Locate = Callable[[StorePath], Location | None]
"""A function that returns where a store path is on this machine, or None if it is neither files nor a NAR here."""
# The size in bytes that is assumed for a store path of unknown size.
_UNKNOWN_PATH_SIZE = 8 << 20


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A layer's blob that another image has, compressed or not.

    Attributes:
        descriptor: its media type, digest and size, as a manifest states them.
        plain: the digest and size of the uncompressed tar; the size of the blob if that of the tar is unknown.
        open: yields its bytes from an offset on. It may be called several times.
        repository: the repository that has it, ``HOST[:PORT]/NAME``, or empty.
    """

    descriptor: Descriptor
    plain: BlobInfo
    open: Callable[[int], Iterable[bytes]] = field(repr=False)
    repository: str = ""


class LayerSource(ABC):
    """A layer that can be packed any number of times and gives the same bytes each time.

    Properties and methods that only some kinds of layers need have defaults for all others.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for people: what is in the layer."""

    @abstractmethod
    def headline(self, number: int) -> str:
        """Return the progress message for writing this layer as layer ``number``, counted from 1."""

    @abstractmethod
    def pack(self) -> PackedLayer:
        """Pack the layer from the files as they are now."""

    def close(self) -> None:  # noqa: B027 - most layers have no temporary files
        """Remove the temporary files that the layer is packed from. It cannot be packed afterwards."""

    def share(self) -> LayerSource:
        """Return the same layer for another image; to close it removes nothing, as long as this one is not closed."""
        return self

    @property
    def outcome(self) -> str:
        """The word for how its bytes are made, if they have to be made; one of `lamina.core.progress`."""
        return PACKED

    @property
    def comment(self) -> str:
        """The comment on the layer in the image's history."""
        return ""

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in it, in packing order."""
        return ()

    @property
    def expected_diff_id(self) -> Digest | None:
        """The diff ID that the packed layer must have, or None if it is not known in advance."""
        return None

    @property
    def key(self) -> LayerInputs | None:
        """The inputs that the layer's bytes depend on; None if they are unknown, so that it cannot be cached."""
        return None

    @property
    def hashed(self) -> BlobInfo | None:
        """The digest and size of its tar if this run has computed them already, else None."""
        return None

    @property
    def stored_blob(self) -> StoredBlob | None:
        """The blob in which another image keeps the layer, or None. A registry gets it as it is."""
        return None

    @property
    def weight(self) -> int:
        """The approximate size in bytes, for the order of work; 0 if it is unknown."""
        return 0

    @property
    def is_local(self) -> bool:
        """Whether the whole layer can be read without waiting for a download."""
        return True

    def prefetch(self) -> None:  # noqa: B027 - most layers have nothing to download
        """Begin to download what is needed to pack the layer. It returns at once."""

    def find_tar(self) -> Extent | None:
        """Return the extent that is the layer's tar, for a worker process to read; None if there is none."""
        return None

    def locate_paths(self) -> LocatedLayer | None:
        """Return the locations of its store paths, for a worker process to read; None if a path has no location.

        Raises `NotFound` if a store path has disappeared.
        """
        return None


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose bytes are known.

    Attributes:
        diff_id: the digest of the uncompressed tar.
        size: the size of the uncompressed tar in bytes.
        paths: the store paths in it, in packing order.
    """

    diff_id: Digest
    size: int
    paths: tuple[StorePath, ...]

    def __repr__(self) -> str:
        paths = summarize_layer_paths(self.paths)
        return f"<Layer {shorten_digest(self.diff_id)}: {paths}, {format_size(self.size)}>"


def make_layer_inputs(plan: LayerPlan, owner: Owner, mtime: int) -> LayerInputs | None:
    """Return the inputs of a layer of store paths; None if the NAR hashes of its paths are unknown.

    Args:
        plan: the store paths.
        owner: the owner of every file.
        mtime: the modification time of every file, in whole seconds since 1970.

    """
    if not plan.nars:
        return None
    contents = ((path, *nar) for path, nar in zip(plan.paths, plan.nars, strict=True))
    return LayerInputs(owner, mtime, tuple(contents))


@dataclass(frozen=True, slots=True)
class StoreLayer(LayerSource):
    """Store paths, packed as the streamer of nixpkgs' dockerTools packs them.

    Args:
        plan: The store paths, with their NAR hashes and sizes if the store knows them.
        read_nodes: Returns the nodes of a store path.
        owner: The owner of every file in the layer.
        mtime: The modification time of every file, in whole seconds since 1970.
        locate: Returns the location of a store path on this machine.
        is_path_local: Returns whether a store path can be read without waiting for a download.
        stored_blob: The blob that another image has of this layer, or None.
        prefetch_paths: Begins to download those of the store paths that are not on this machine.
    """

    plan: LayerPlan
    read_nodes: ReadNodes
    owner: Owner
    mtime: int
    locate: Locate = ignore
    is_path_local: Callable[[StorePath], bool] = accept
    stored_blob: StoredBlob | None = None
    prefetch_paths: Callable[[Iterable[StorePath]], object] = ignore

    @property
    def name(self) -> str:
        """The name of its largest store path, and the number of the others: ``openssl-3.0.14 +37``."""
        return summarize_layer_paths(self.paths, [size for _, size in self.plan.nars])

    @property
    def comment(self) -> str:
        """The comment on the layer in the image's history."""
        return store_paths_comment(list(map(str, self.paths)))

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in it, in packing order."""
        return self.plan.paths

    @property
    def key(self) -> LayerInputs | None:
        """The inputs that the layer's bytes depend on; None if the NAR hashes of its paths are unknown."""
        return make_layer_inputs(self.plan, self.owner, self.mtime)

    @property
    def weight(self) -> int:
        """The size of the NARs in bytes, or an assumed size if it is unknown."""
        return self.plan.nar_size if self.plan.nars else _UNKNOWN_PATH_SIZE * len(self.paths)

    @property
    def is_local(self) -> bool:
        """Whether all paths can be read without waiting for a download."""
        return all(map(self.is_path_local, self.paths))

    def headline(self, number: int) -> str:
        """Return the progress message for writing this layer as layer ``number``."""
        return f"Creating layer {number} from paths: {list(map(str, self.paths))}"

    def prefetch(self) -> None:
        """Begin to download those of the paths that are not on this machine."""
        self.prefetch_paths(self.paths)

    def locate_paths(self) -> LocatedLayer | None:
        """Return the locations of the paths; None if one of them is not on this machine."""
        hashes = (nar_hash for nar_hash, _ in self.plan.nars)
        located = tuple(
            LocatedPath(str(path).encode(), location, nar_hash)
            for path, nar_hash in zip_longest(self.paths, hashes)
            if (location := self.locate(path)) is not None
        )
        return LocatedLayer(located, self.owner, self.mtime) if len(located) == len(self.paths) else None

    def pack(self) -> PackedLayer:
        """Read the nodes of all paths and return their tar. Its size is known before any file is read.

        Raises `FormatError` for a name that would be a whiteout in a layer, and any error of the store.
        """
        headers = PaxHeaders(self.owner, self.mtime)
        paths = [(str(path).encode(), list_entries(self.read_nodes(path))) for path in self.paths]
        check_names(paths)
        return pack_entries(headers, paths, measure_entries(headers, paths))


@dataclass(frozen=True, slots=True)
class FinishedLayer(LayerSource):
    """A layer whose tar is already a file: a layer of a base image, or a customisation layer that was built before.

    ``message`` is the complete progress message, because the layer's position is known. ``workspace`` is the temporary
    folder that holds the tar, or None if the tar is elsewhere. ``name`` is the layer's name for people. With
    ``is_checked``, the tar was hashed when its image was read, and has ``expected_diff_id``.
    """

    tar: Extent
    message: str
    comment: str = ""
    expected_diff_id: Digest | None = None
    paths: tuple[StorePath, ...] = ()
    workspace: TempDir | None = None
    name: str = CUSTOMISATION_LAYER
    is_checked: bool = False
    stored_blob: StoredBlob | None = None

    @property
    def hashed(self) -> BlobInfo | None:
        """The digest and size of the tar if it was hashed when its image was read."""
        return BlobInfo(self.expected_diff_id, self.tar.length) if self.is_checked and self.expected_diff_id else None

    @property
    def outcome(self) -> str:
        """The word for how its bytes are made: they are copied."""
        return COPIED

    def headline(self, number: int) -> str:
        """Return the progress message to print before the layer is written."""
        return self.message

    @property
    def weight(self) -> int:
        """The size of the tar in bytes."""
        return self.tar.length

    def close(self) -> None:
        """Remove the temporary folder."""
        if self.workspace:
            self.workspace.close()

    def share(self) -> FinishedLayer:
        """Return the same layer without its temporary folder."""
        return replace(self, workspace=None)

    def find_tar(self) -> Extent:
        """Return the tar."""
        return self.tar

    def pack(self) -> PackedLayer:
        """Return the tar as it is in the file."""
        return PackedLayer(self.tar.length, iter((self.tar,)))


def list_items(sources: Iterable[LayerSource]) -> tuple[ProgressItem, ...]:
    """Return the items of work that progress is reported about: one for each layer, lowest first."""
    return tuple(ProgressItem(number, source.weight, source) for number, source in enumerate(sources, 1))
