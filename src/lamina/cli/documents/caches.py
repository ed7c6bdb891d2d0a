"""The documents of ``lamina cache`` and of ``lamina store verify``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.cli.documents import DEPRECATED, Document

if TYPE_CHECKING:
    from lamina.api.blob_cache import BlobCacheResult, BlobPruneResult
    from lamina.api.cache_folder import CleanResult, LayerCacheResult, PruneResult
    from lamina.api.layer_cache import DamagedLayer, LayerCacheCheck
    from lamina.layer_cache.files import DeletedFile
    from lamina.stores.embedded.verify import DamagedPath, StoreCheck

_LayerCache = Annotated[str, "The file of the layer cache."]
_Exists = Annotated[bool, "Whether there is a layer cache."]


class DeletedFileDocument(TypedDict):
    """A file that was deleted."""

    file: Annotated[str, "The file."]
    size: Annotated[int, "The size of the file in bytes."]
    path: Annotated[str, DEPRECATED + "file."]


class DamagedLayerDocument(TypedDict):
    """A layer that differs from its entry in the layer cache."""

    diff_id: Annotated[str, "The digest of the uncompressed tar that the entry had: sha256: and 64 hex digits."]
    paths: Annotated[list[str], "The store paths of the layer, in packing order."]
    reason: Annotated[str, "What is wrong."]


class DamagedPathDocument(TypedDict):
    """A store path that is damaged, or was."""

    hash: Annotated[str, "The 32 characters that the name of the store path begins with."]
    reason: Annotated[str, "What is wrong."]


class StoreCheckDocument(TypedDict):
    """The result of checking a store."""

    store: Annotated[str, "The folder of the store."]
    path_count: Annotated[int, "How many store paths the store has, damaged ones included."]
    intact: Annotated[int, "How many store paths are as they should be."]
    damaged: Annotated[list[DamagedPathDocument], "The store paths that are damaged."]
    repaired: Annotated[list[DamagedPathDocument], "The store paths that were damaged and are repaired."]
    orphans: Annotated[int, "How many NARs belong to no store path."]
    leftovers: Annotated[int, "How many files killed processes left there."]
    nar_size: Annotated[int, "The sum in bytes of the sizes of all NARs."]
    warnings: Annotated[list[str], "What the user should know about the caches that were asked; each is one line."]


class OldStoreCheckDocument(TypedDict):
    """The result of checking a store, with the keys of earlier versions."""

    folder: Annotated[str, DEPRECATED + "store."]
    paths: Annotated[int, DEPRECATED + "path_count."]
    intact: Annotated[int, "The same as in store_check."]
    damaged: Annotated[list[DamagedPathDocument], "The same as in store_check."]
    mended: Annotated[list[DamagedPathDocument], DEPRECATED + "repaired."]
    orphans: Annotated[int, "The same as in store_check."]
    leftovers: Annotated[int, "The same as in store_check."]
    size: Annotated[int, DEPRECATED + "nar_size."]
    warnings: Annotated[list[str], "The same as in store_check."]


class VerifyDocument(Document):
    """The results of checking a store and the layer cache."""

    store_check: Annotated[StoreCheckDocument | None, "The check of the store; null if there is no store."]
    layer_cache: _LayerCache
    exists: _Exists
    layer_count: Annotated[int, "How many layers the layer cache had."]
    intact: Annotated[int, "How many layers are as recorded."]
    absent: Annotated[int, "How many layers have a store path that is not here."]
    damaged: Annotated[list[DamagedLayerDocument], "The layers that were wrong; the layer cache forgot them."]
    layers: Annotated[int, DEPRECATED + "layer_count."]
    store: Annotated[OldStoreCheckDocument | None, DEPRECATED + "store_check."]


class BlobCacheDocument(TypedDict):
    """The number and size of the blobs in the blob cache."""

    folder: Annotated[str, "The folder of the blob cache."]
    exists: Annotated[bool, "Whether there is a blob cache."]
    blob_count: Annotated[int, "How many blobs there are."]
    size: Annotated[int, "The sum in bytes of the sizes of all blobs."]
    oldest: Annotated[str | None, "When the least recently used blob was used, in ISO 8601; null if there is none."]


class PrunedBlobsDocument(TypedDict):
    """The blobs that were deleted from the blob cache."""

    folder: Annotated[str, "The folder of the blob cache."]
    files: Annotated[list[DeletedFileDocument], "The blobs that were deleted."]
    kept: Annotated[int, "How many blobs are left."]
    size: Annotated[int, "The sum in bytes of the sizes of the blobs that are left."]


class CacheInfoDocument(Document):
    """The number and size of the entries in the layer cache."""

    layer_cache: _LayerCache
    exists: _Exists
    size: Annotated[int, "The size of the file in bytes."]
    entries: Annotated[int, "How many entries there are."]
    layer_count: Annotated[int, "How many entries are layers whose digest is known."]
    compressed: Annotated[int, "How many entries are compressed layers whose digest is known."]
    listings: Annotated[int, "How many entries are store paths whose files are known."]
    plans: Annotated[int, "How many entries are plans: which store paths share a layer."]
    shared: Annotated[int, "How many entries a shared layer cache is known to have."]
    oldest: Annotated[str | None, "When the least recently used entry was used, in ISO 8601; null if there is none."]
    blob_cache: Annotated[BlobCacheDocument | None, "The blob cache; null with another layer cache than the default."]
    layers: Annotated[int, DEPRECATED + "layer_count."]


class CachePruneDocument(Document):
    """The entries that were deleted from the layer cache."""

    layer_cache: _LayerCache
    deleted: Annotated[int, "How many entries were deleted."]
    kept: Annotated[int, "How many entries are left."]
    size: Annotated[int, "The size of the file afterwards, in bytes."]
    files: Annotated[list[DeletedFileDocument], "Files that earlier versions left there and that were deleted."]
    blob_cache: Annotated[PrunedBlobsDocument | None, "The blob cache; null with another layer cache than the default."]


class CacheCleanDocument(Document):
    """The files that were deleted from the cache folder."""

    files: Annotated[list[DeletedFileDocument], "The files that were deleted."]
    size: Annotated[int, "The sum of their sizes in bytes."]


def dump_verification(
    layer_cache: str, check: LayerCacheCheck, store: str, store_check: StoreCheck | None
) -> VerifyDocument:
    """Return the document of ``lamina store verify``."""
    return {
        "store_check": _dump_store_check(store, store_check) if store_check else None,
        "layer_cache": layer_cache,
        "exists": check.exists,
        "layer_count": check.layers,
        "intact": check.intact,
        "absent": check.absent,
        "damaged": list(map(_dump_damaged_layer, check.damaged)),
        "layers": check.layers,
        "store": _dump_old_store_check(store, store_check) if store_check else None,
        "warnings": list(check.warnings),
    }


def _dump_damaged_layer(layer: DamagedLayer) -> DamagedLayerDocument:
    return {"diff_id": str(layer.diff_id), "paths": list(map(str, layer.paths)), "reason": layer.reason}


def _dump_store_check(folder: str, check: StoreCheck) -> StoreCheckDocument:
    return {
        "store": folder,
        "path_count": check.paths,
        "intact": check.intact,
        "damaged": _dump_damaged_paths(check.damaged),
        "repaired": _dump_damaged_paths(check.mended),
        "orphans": check.orphans,
        "leftovers": check.leftovers,
        "nar_size": check.size,
        "warnings": list(check.warnings),
    }


def _dump_old_store_check(folder: str, check: StoreCheck) -> OldStoreCheckDocument:
    return {
        "folder": folder,
        "paths": check.paths,
        "intact": check.intact,
        "damaged": _dump_damaged_paths(check.damaged),
        "mended": _dump_damaged_paths(check.mended),
        "orphans": check.orphans,
        "leftovers": check.leftovers,
        "size": check.size,
        "warnings": list(check.warnings),
    }


def _dump_damaged_paths(paths: Iterable[DamagedPath]) -> list[DamagedPathDocument]:
    return [{"hash": path.hash, "reason": path.reason} for path in paths]


def dump_cache_info(
    layer_cache: str, result: LayerCacheResult, folder: str | None, blobs: BlobCacheResult | None
) -> CacheInfoDocument:
    """Return the document of ``lamina cache info``."""
    return {
        "layer_cache": layer_cache,
        "exists": result.exists,
        "size": result.size,
        "entries": result.entries,
        "layer_count": result.layers,
        "compressed": result.compressed,
        "listings": result.listings,
        "plans": result.plans,
        "shared": result.shared,
        "oldest": result.oldest.isoformat() if result.oldest else None,
        "blob_cache": _dump_blob_cache(folder, blobs) if folder and blobs else None,
        "layers": result.layers,
        "warnings": [],
    }


def _dump_blob_cache(folder: str, result: BlobCacheResult) -> BlobCacheDocument:
    return {
        "folder": folder,
        "exists": result.exists,
        "blob_count": result.blobs,
        "size": result.size,
        "oldest": result.oldest.isoformat() if result.oldest else None,
    }


def dump_cache_prune(
    layer_cache: str, result: PruneResult, folder: str | None, blobs: BlobPruneResult | None
) -> CachePruneDocument:
    """Return the document of ``lamina cache prune``."""
    return {
        "layer_cache": layer_cache,
        "deleted": result.deleted,
        "kept": result.kept,
        "size": result.size,
        "files": _dump_files(result.files),
        "blob_cache": _dump_pruned_blobs(folder, blobs) if folder and blobs else None,
        "warnings": list(result.warnings),
    }


def _dump_pruned_blobs(folder: str, result: BlobPruneResult) -> PrunedBlobsDocument:
    return {"folder": folder, "files": _dump_files(result.files), "kept": result.kept, "size": result.size}


def dump_cache_clean(result: CleanResult) -> CacheCleanDocument:
    """Return the document of ``lamina cache clean``."""
    return {"files": _dump_files(result.files), "size": result.size, "warnings": []}


def _dump_files(files: Iterable[DeletedFile]) -> list[DeletedFileDocument]:
    return [{"file": file.path, "size": file.size, "path": file.path} for file in files]
