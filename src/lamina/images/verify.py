"""Make the layers of an image again from signed store paths, and compare them with the image.

A layer of store paths depends on nothing but the contents of the paths, their order, and one owner and date for all
files. The order is in the image's history, and the owner and the date are in the headers of the layer. If the diff ID
that follows from them is that of the image's config, the layer is proven, without reading more of it.

Invariant: a layer counts as reproduced only if its tar was packed from the store and hashed in this run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lamina.core.callbacks import ignore
from lamina.core.labels import CUSTOMISATION_LAYER, summarize_layer_paths
from lamina.core.names import STORE_DIR, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.core.progress import ABSENT, DAMAGED, INTACT, FileSubject, Progress, ProgressItem, Work
from lamina.errors import FormatError, IntegrityError, NotFound
from lamina.formats.docker import parse_store_paths_comment
from lamina.formats.tar import Owner
from lamina.formats.tar_reader import read_headers
from lamina.images.image import DEFAULT_OWNER
from lamina.images.layer_bytes import LayerBytes
from lamina.images.signed_paths import SignedPaths
from lamina.images.store_overlays import find_store_overlay
from lamina.images.tar_difference import (
    UNKNOWN_LENGTH,
    ForwardReader,
    find_difference,
    find_store_path,
    read_pieces,
)
from lamina.images.verification import Verdict, VerifiedLayer
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import PackedLayer
from lamina.messages.redaction import cut, short_repr
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.store import Store
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import OnBytes, hash_pieces

_STORE_FOLDERS = (b"/nix/", STORE_DIR.encode() + b"/")
_OUTCOMES: Mapping[Verdict, str] = {"differs": DAMAGED, "not in the stores": ABSENT}
_Ownership = tuple[Owner, int]


def verify_layers(
    layers: Sequence[LayerBytes],
    store: Store,
    trust: Trust,
    title: str,
    progress: Progress | None = None,
    warn: Callable[[str], object] = ignore,
) -> tuple[VerifiedLayer, ...]:
    """Return the verdict on each of ``layers``.

    Args:
        layers: the layers of an image, from the lowest up.
        store: where the contents of store paths are read. It may have paths that nobody signed.
        trust: the keys whose signatures count.
        title: the name of the image in the progress.
        progress: receives the progress of packing and reading.
        warn: is called with a message about each layer that is read, is not proven, and changes files of the store.

    Raises:
        StoreError: a store could not be read.
        IntegrityError: a store sent something else than its narinfo says.
        RegistryError: the registry failed.
        AuthError: the registry refuses the credentials, or wants some.

    """
    reporter = ProgressReporter(progress)
    paths = [parse_store_paths_comment(layer.comment) or _find_packed_paths(layer) for layer in layers]
    wanted = list(dict.fromkeys(path for group in paths for path in group))
    infos = store.query(wanted)
    store.prefetch([path for path in wanted if path in infos])
    verifier = _ImageVerifier(store, trust, infos)
    pending = [verifier.describe(layer, group) for layer, group in zip(layers, paths, strict=True)]
    items = tuple(
        ProgressItem(layer.number, one.work_size, FileSubject(one.name))
        for layer, one in zip(layers, pending, strict=True)
    )
    reporter.begin(Work(title, items))
    verified = []
    for item, one in zip(items, pending, strict=True):
        reporter.start(item)
        result = verifier.verify(one, partial(reporter.advance, item))
        reporter.finish(item, _OUTCOMES.get(result.verdict, INTACT), result.size)
        verified.append(result)
        if overlay := _describe_overlay(one.source, result):
            warn(f"layer {result.number} is not proven, and {overlay}")
    reporter.done()
    return tuple(verified)


def _describe_overlay(layer: LayerBytes, result: VerifiedLayer) -> str:
    """Return how an unproven layer changes the store, as far as it is known; empty if it does not."""
    if result.verdict != "not of store paths" or not layer.is_read:
        return ""
    try:
        name = find_store_overlay(layer.open_tar())
    except FormatError as error:
        return f"its files cannot be listed: {error}"
    return f"has {short_repr(name)}, which changes the store" if name else ""


def _find_packed_paths(layer: LayerBytes) -> tuple[StorePath, ...]:
    """Return the store paths of a layer that has nothing else, in its order; none for any other layer.

    A base image's history often says nothing of its store paths. Only layers that are read anyway are looked into.
    """
    if not layer.is_read:
        return ()
    paths: dict[StorePath, None] = {}
    try:
        for number, header in enumerate(read_headers(ForwardReader(layer.open_readable_tar()), UNKNOWN_LENGTH)):
            if number < len(_STORE_FOLDERS):
                if header.name != _STORE_FOLDERS[number]:
                    return ()
            elif path := find_store_path(header.name):
                paths[path] = None
            else:
                return ()
    except FormatError:  # a damaged layer
        pass
    return tuple(paths)


@dataclass(frozen=True, slots=True)
class _PendingLayer:
    """A layer that is to be verified, its store paths, and the ones of them that a store has."""

    source: LayerBytes
    name: str
    paths: tuple[StorePath, ...]
    infos: tuple[PathInfo, ...]

    @property
    def work_size(self) -> int:
        """About how many bytes are hashed: the store paths for the tar and for their NAR hashes, and the layer."""
        return 2 * sum(info.nar_size for info in self.infos) + self.source.is_read * self.source.layer.size

    @property
    def missing_path(self) -> StorePath | None:
        """The first path that no store has."""
        found = {info.path for info in self.infos}
        return next((path for path in self.paths if path not in found), None)

    def conclude(self, verdict: Verdict, reason: object = "", differing_path: StorePath | None = None) -> VerifiedLayer:
        """Return the verdict on the layer."""
        layer = self.source.layer
        return VerifiedLayer(
            self.source.number,
            self.name,
            layer.diff_id,
            layer.digest,
            layer.size,
            self.paths,
            verdict,
            str(reason),
            differing_path,
        )


class _OtherLayerError(Exception):
    """The layer is not packed from store paths."""


class _ImageVerifier:
    def __init__(self, store: Store, trust: Trust, infos: Mapping[StorePath, PathInfo]) -> None:
        self._store = store
        self._signed_paths = SignedPaths(store, trust)
        self._infos = infos
        self._last_ownership: _Ownership | None = None

    def describe(self, source: LayerBytes, paths: tuple[StorePath, ...]) -> _PendingLayer:
        """Return a layer with what the stores know of its paths."""
        sizes = [self._infos[path].nar_size if path in self._infos else 0 for path in paths]
        other_name = source.comment if source.comment == CUSTOMISATION_LAYER else cut(source.layer.name)
        name = summarize_layer_paths(paths, sizes) if paths else other_name
        return _PendingLayer(source, name, paths, tuple(self._infos[path] for path in paths if path in self._infos))

    def verify(self, layer: _PendingLayer, on_bytes: OnBytes) -> VerifiedLayer:
        """Return the verdict on a layer."""
        damage = layer.source.find_damage(on_bytes) if layer.source.is_read else None
        try:
            return self._verify_paths(layer, damage, on_bytes)
        except _OtherLayerError:
            return replace(layer.conclude("differs" if damage else "not of store paths", damage or ""), paths=())
        except NotFound as error:
            return layer.conclude("differs" if damage else "not in the stores", damage or error)

    def _verify_paths(
        self, layer: _PendingLayer, damage: FormatError | IntegrityError | None, on_bytes: OnBytes
    ) -> VerifiedLayer:
        if not layer.paths:
            raise _OtherLayerError
        if layer.missing_path:
            self._read_ownership(layer.source)
            raise NotFound(layer.missing_path, f"no such path in {self._store.label}", "its contents")
        diff_id = layer.source.layer.diff_id
        for owner, mtime in self._list_ownerships(layer.source):
            pack = _make_layer(self._store, layer, owner, mtime).pack
            found = hash_pieces(pack().pieces, on_bytes=on_bytes).digest
            if found == diff_id:
                self._last_ownership = owner, mtime
                break
        if found != diff_id or damage:
            return self._explain(layer, pack, damage or IntegrityError(f"layer {layer.source.number}", diff_id, found))
        checked = tuple(self._signed_paths.check(info, on_bytes) for info in layer.infos)
        result = layer.conclude("reproduced and signed" if all(path.key for path in checked) else "reproduced")
        return replace(result, checked_paths=checked)

    def _list_ownerships(self, source: LayerBytes) -> Iterator[_Ownership]:
        """Yield the owners and dates that the layer's files may have.

        All layers of an image have the same, as a rule. A layer whose bytes are not read anyway is therefore tried with
        those of the layer before, and its own header is read only if they do not fit.
        """
        last = None if source.is_read else self._last_ownership
        if last:
            yield last
        own = self._read_ownership(source)
        if own != last:
            yield own

    def _read_ownership(self, source: LayerBytes) -> _Ownership:
        """Return the owner and date in the layer's first header, or the default ones if it is damaged.

        Raises `_OtherLayerError` if the layer is none of store paths. nixpkgs lists a store path for its customisation
        layer too, but the files in it are others.
        """
        try:
            header = source.read_first_header()
        except FormatError:
            return DEFAULT_OWNER, 1
        if header.name != _STORE_FOLDERS[0]:
            raise _OtherLayerError
        uname, gname = (name.decode("utf-8", "surrogateescape") for name in (header.uname, header.gname))
        return Owner(header.uid, header.gid, uname, gname), header.mtime

    def _explain(
        self, layer: _PendingLayer, pack: Callable[[], PackedLayer], fault: FormatError | IntegrityError
    ) -> VerifiedLayer:
        """Return the verdict on a layer that differs; ``fault`` is what is known of the difference."""
        difference = find_difference(lambda: read_pieces(pack()), layer.source.open_readable_tar)
        # Without a difference the bytes are those of the store paths, and the config states another diff ID.
        return layer.conclude("differs", difference or fault, difference.path if difference else None)


def _make_layer(store: Store, layer: _PendingLayer, owner: Owner, mtime: int) -> StoreLayer:
    return StoreLayer(LayerPlan.of(layer.infos, ""), store.nodes, owner, mtime, store.location)
