"""Compare two images: which layers, packages and settings differ, and how many bytes an update moves.

Sizes are those of the blobs as the images store them: compressed in most OCI layouts and registries, plain tars in most
archives. The config and the manifest, which have a few kilobytes, are not counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lamina.core.names import Digest, StorePath
from lamina.images.blob_totals import BlobTotal
from lamina.images.config_changes import ConfigChange, compare_configs
from lamina.images.package_changes import pair_packages, share_out

_LayerState = Literal["kept", "sent", "gone"]
_PackageState = Literal["kept", "re-sent", "rebuilt", "updated", "added", "removed"]


class ComparedLayer(Protocol):
    """The part of a layer that a comparison reads; a `SourceLayer` has it."""

    @property
    def diff_id(self) -> Digest:
        """The digest of the uncompressed tar."""

    @property
    def digest(self) -> Digest:
        """The digest of the blob, which may be compressed."""

    @property
    def size(self) -> int:
        """The size of the blob in bytes."""

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths of which the layer has files."""

    @property
    def path_sizes(self) -> tuple[int, ...]:
        """The size in bytes of the files of each path, in the same order; empty if it is not known."""


class ComparedImage(Protocol):
    """The part of an image that a comparison reads; a `SourceImage` has it."""

    @property
    def digest(self) -> Digest:
        """The digest of the config."""

    @property
    def repo_tags(self) -> tuple[str, ...]:
        """The names as NAME:TAG."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The other names."""

    @property
    def platform(self) -> str:
        """The platform as OS/ARCHITECTURE."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The parsed config."""

    @property
    def layers(self) -> Sequence[ComparedLayer]:
        """The layers, from the lowest up."""


@dataclass(frozen=True, slots=True)
class DiffImage:
    """One of the two images that were compared.

    Attributes:
        digest: the image ID.
        repo_tags: its names as NAME:TAG.
        tags: its other names, in an OCI layout.
        platform: such as ``linux/amd64``; empty if the image does not state it.
        layer_count: the number of its layers.
        size: the sum in bytes of the sizes of its blobs, each counted once.
        is_compressed: whether a layer is stored compressed, so that its size is not that of its tar.
    """

    digest: Digest
    repo_tags: tuple[str, ...]
    tags: tuple[str, ...]
    platform: str
    layer_count: int
    size: int
    is_compressed: bool

    @property
    def id(self) -> str:
        """The image ID as engines print it."""
        return str(self.digest)


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer of one of the images, or of both.

    Attributes:
        change: ``kept`` if both images have it, ``sent`` if only the new one has it, ``gone`` if only the old one.
        number: its place in the new image, counted from 1; in the old image if it is gone.
        diff_id: the digest of its uncompressed tar.
        digest: the digest of its blob.
        size: the size of the blob in bytes.
        paths: the store paths of which it has files.
        path_sizes: the size in bytes of the files of each path, in the same order; empty if it is not known.
    """

    change: Literal["kept", "sent", "gone"]
    number: int
    diff_id: Digest
    digest: Digest
    size: int
    paths: tuple[StorePath, ...]
    path_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A store path of both images, or the old and the new store path of a package.

    The size of a layer's blob is shared out to its store paths in proportion to the size of their files. The sizes of
    all packages therefore add up to those of the layers.

    Attributes:
        change: ``kept`` if the update does not move it; ``re-sent`` if it is the same store path in a layer that is
            sent; ``rebuilt`` if only the hash in the store path differs, and ``updated`` if the name does; ``added``
            or ``removed``.
        old: the store path in the old image; None if it has none.
        new: the store path in the new image; None if it has none. Both are None for files outside of store paths, in
            layers without store paths.
        kept_size: its bytes in layers that both images have.
        sent_size: its bytes in layers that only the new image has.
        gone_size: its bytes in layers that only the old image has.
    """

    change: Literal["kept", "re-sent", "rebuilt", "updated", "added", "removed"]
    old: StorePath | None
    new: StorePath | None
    kept_size: int
    sent_size: int
    gone_size: int


@dataclass(frozen=True, slots=True, repr=False)
class DiffResult:
    """The differences between two images.

    Attributes:
        old: the old image.
        new: the new image.
        layers: all layers of the new image, from the lowest up, then those that only the old one has. A blob that an
            image has twice is listed once.
        packages: all store paths, those with the most bytes to send first.
        config: what differs in the configs.
        warnings: what the user should know about the result.
        others: the differences for the other platforms that both have, if the images are for several.
        only_old: the images for platforms that the new image does not have.
        only_new: the images for platforms that the old image does not have.
    """

    old: DiffImage
    new: DiffImage
    layers: tuple[LayerChange, ...]
    packages: tuple[PackageChange, ...]
    config: tuple[ConfigChange, ...]
    warnings: tuple[str, ...] = ()
    others: tuple[DiffResult, ...] = ()
    only_old: tuple[DiffImage, ...] = ()
    only_new: tuple[DiffImage, ...] = ()

    @property
    def platforms(self) -> tuple[DiffResult, ...]:
        """The differences for each platform that both images have, this one first."""
        return (self, *self.others)

    @property
    def kept(self) -> BlobTotal:
        """The blobs of the new image that the old one has too."""
        return self._add_up("kept")

    @property
    def sent(self) -> BlobTotal:
        """The blobs that only the new image has, and that an update moves."""
        return self._add_up("sent")

    @property
    def gone(self) -> BlobTotal:
        """The blobs that only the old image has."""
        return self._add_up("gone")

    def _add_up(self, change: _LayerState) -> BlobTotal:
        return BlobTotal.of(layer.size for layer in self.layers if layer.change == change)

    def __repr__(self) -> str:
        return f"<DiffResult: layers kept {self.kept.count}, sent {self.sent.count}, gone {self.gone.count}>"


def compare_images(old: ComparedImage, new: ComparedImage) -> DiffResult:
    """Return what an update from ``old`` to ``new`` changes."""
    layers = tuple(_compare_layers(old.layers, new.layers))
    described = describe_image(old), describe_image(new)
    return DiffResult(
        *described,
        layers,
        tuple(_compare_packages(old.layers, new.layers, layers)),
        compare_configs(old.config, new.config),
        tuple(_warn_about_sizes(*described)),
    )


def describe_image(image: ComparedImage) -> DiffImage:
    """Return an image as a part of the result."""
    return DiffImage(
        image.digest,
        image.repo_tags,
        image.tags,
        image.platform,
        len(image.layers),
        sum({layer.digest: layer.size for layer in image.layers}.values()),
        any(map(_is_compressed, image.layers)),
    )


def _warn_about_sizes(old: DiffImage, new: DiffImage) -> Iterator[str]:
    if old.layer_count and new.layer_count and old.is_compressed != new.is_compressed:
        one, other = ("old", "new") if old.is_compressed else ("new", "old")
        yield f"the {one} image stores compressed layers and the {other} one plain tars, so their sizes do not compare"


def _is_compressed(layer: ComparedLayer) -> bool:
    return layer.digest != layer.diff_id


def _compare_layers(old: Sequence[ComparedLayer], new: Sequence[ComparedLayer]) -> Iterator[LayerChange]:
    """Yield the change of each blob."""
    is_in_old, is_in_new = _make_lookup(old), _make_lookup(new)
    for number, layer in _number_blobs(new):
        yield _make_change("kept" if is_in_old(layer) else "sent", number, layer)
    for number, layer in _number_blobs(old):
        if not is_in_new(layer):
            yield _make_change("gone", number, layer)


def _make_lookup(layers: Iterable[ComparedLayer]) -> Callable[[ComparedLayer], bool]:
    """Return a function that tells whether an image with ``layers`` has a layer.

    It has the layer if it has the blob. A plain tar also counts as present in any other form, because it is not decided
    yet how a push compresses it.
    """
    digests = {layer.digest for layer in layers}
    diff_ids = {layer.diff_id for layer in layers}

    def has(layer: ComparedLayer) -> bool:
        # The digest of a plain tar is its diff ID.
        is_same_tar = layer.diff_id in (digests if _is_compressed(layer) else diff_ids)
        return layer.digest in digests or is_same_tar

    return has


def _number_blobs(layers: Sequence[ComparedLayer]) -> Iterator[tuple[int, ComparedLayer]]:
    seen: set[Digest] = set()
    for number, layer in enumerate(layers, 1):
        if layer.digest not in seen:
            seen.add(layer.digest)
            yield number, layer


def _make_change(change: _LayerState, number: int, layer: ComparedLayer) -> LayerChange:
    return LayerChange(change, number, layer.diff_id, layer.digest, layer.size, layer.paths, layer.path_sizes)


def _compare_packages(
    old: Sequence[ComparedLayer],
    new: Sequence[ComparedLayer],
    changes: Iterable[LayerChange],
) -> list[PackageChange]:
    """Return the packages of both images, those with the most bytes to send first."""
    sizes = _share_out_sizes(changes)
    pairs = pair_packages(_list_paths(old), _list_paths(new))
    if any(sizes[None].values()):
        pairs.append((None, None))
    return sorted((_make_package_change(*pair, sizes) for pair in pairs), key=_get_order)


def _list_paths(layers: Iterable[ComparedLayer]) -> Iterator[StorePath]:
    return (path for layer in layers for path in layer.paths)


_Sizes = Mapping[StorePath | None, Counter[_LayerState]]


def _share_out_sizes(changes: Iterable[LayerChange]) -> _Sizes:
    """Return the bytes of each store path in kept, sent and gone layers; None stands for layers without store paths."""
    sizes: defaultdict[StorePath | None, Counter[_LayerState]] = defaultdict(Counter)
    for layer in changes:
        owners: Sequence[StorePath | None] = layer.paths or (None,)
        weights = layer.path_sizes or [1] * len(owners)
        for owner, size in zip(owners, share_out(layer.size, weights), strict=True):
            sizes[owner][layer.change] += size
    return sizes


def _make_package_change(old: StorePath | None, new: StorePath | None, sizes: _Sizes) -> PackageChange:
    total: Counter[_LayerState] = Counter()
    for owner in {old, new} - {None} or {None}:
        total.update(sizes[owner])
    return PackageChange(_find_state(old, new, total), old, new, total["kept"], total["sent"], total["gone"])


def _find_state(old: StorePath | None, new: StorePath | None, total: Mapping[_LayerState, int]) -> _PackageState:
    match old, new:
        case None, None:
            return _find_state_of_files(total)
        case None, _:
            return "added"
        case _, None:
            return "removed"
        case StorePath(), StorePath() if old == new:
            return "re-sent" if total["sent"] else "kept"
        case StorePath(), StorePath() if old.name == new.name:
            return "rebuilt"
    return "updated"


def _find_state_of_files(total: Mapping[_LayerState, int]) -> _PackageState:
    if not total["sent"]:
        return "kept" if total["kept"] or not total["gone"] else "removed"
    return "updated" if total["kept"] or total["gone"] else "added"


def _get_order(package: PackageChange) -> tuple[object, ...]:
    path = package.new or package.old
    return -package.sent_size, -package.gone_size, path is None, path.name if path else "", path.base if path else ""
