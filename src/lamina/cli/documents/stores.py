"""The documents of ``lamina store``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.cli.documents import DEPRECATED, Document
from lamina.core.names import STORE_DIR

if TYPE_CHECKING:
    import lamina
    from lamina.api.store import FetchResult, StoredPath
    from lamina.formats.narinfo import NarInfo
    from lamina.stores.binary_cache.push import PushResult
    from lamina.stores.embedded.gc import GCResult
    from lamina.stores.embedded.nix_export import ImportedPath

_Store = Annotated[str, "The folder of the store."]
_Path = Annotated[str, "The store path."]
_PathCount = Annotated[int, "How many store paths there are."]
_NarSize = Annotated[int, "The size of the path's NAR in bytes."]
_NixNarSize = Annotated[int, "The same as nar_size, under the name that nix path-info --json has for it."]


class NarInfoDocument(TypedDict):
    """The information about a store path."""

    path: _Path
    nar_hash: Annotated[str, "The hash of the path's NAR, in SRI form: sha256- and base64."]
    nar_size: _NarSize
    references: Annotated[list[str], "The store paths that the path refers to, sorted."]
    deriver: Annotated[str | None, "The store path of the derivation that built it; null if unknown."]
    signatures: Annotated[list[str], "The signatures, each as KEY-NAME:BASE64."]
    content_address: Annotated[str | None, "The content address, such as fixed:r:sha256:…; null if there is none."]
    url: Annotated[str, "The file of the NAR, relative to the store's folder."]
    narHash: Annotated[str, "The same as nar_hash, under the name that nix path-info --json has for it."]
    narSize: _NixNarSize
    ca: Annotated[str | None, "The same as content_address, under the name that nix path-info --json has for it."]


class StoredPathDocument(NarInfoDocument):
    """The information about a store path in the store."""

    closure_size: Annotated[int, "The sum in bytes of the NAR sizes of the path and of all that it needs."]
    file: Annotated[str, "The file of the NAR."]
    closureSize: Annotated[int, "The same as closure_size, under the name that nix path-info --json has for it."]


class FetchedPathDocument(NarInfoDocument):
    """A store path that is in the store now."""

    reused: Annotated[bool, "Whether the path was in the store before."]
    fetched: Annotated[bool, "Whether the path was fetched: the opposite of reused."]


class ImportedPathDocument(TypedDict):
    """A store path of the export."""

    path: _Path
    nar_size: _NarSize
    reused: Annotated[bool, "Whether the path was in the store before."]
    narSize: _NixNarSize
    new: Annotated[bool, DEPRECATED + "the opposite of reused."]


class RemovedPathDocument(TypedDict):
    """A store path that is removed."""

    path: _Path
    size: Annotated[int, "How many bytes its removal frees on disk."]


class StrayFileDocument(TypedDict):
    """A file in the store's folder that belongs to no store path."""

    file: Annotated[str, "The file."]
    size: Annotated[int, "The size of the file in bytes."]
    name: Annotated[str, DEPRECATED + "file: its name relative to the store's folder."]


class PathListDocument(Document):
    """Some store paths of a store."""

    store: Annotated[str | None, "The folder of the store; null if there is no store yet."]
    paths: Annotated[list[NarInfoDocument], "The store paths."]
    path_count: _PathCount
    nar_size: Annotated[int, "The sum of the NAR sizes in bytes."]


class PathInfoDocument(Document):
    """The information about some store paths."""

    store: _Store
    paths: Annotated[list[StoredPathDocument], "The store paths, in the order of the ROOTs."]


class FetchDocument(Document):
    """The closure that was fetched."""

    store: _Store
    paths: Annotated[list[FetchedPathDocument], "The closure, references first."]
    path_count: _PathCount
    fetched_count: Annotated[int, "How many of them were fetched."]
    fetched_nar_size: Annotated[int, "The sum in bytes of the NAR sizes of those that were fetched."]


class ImportDocument(Document):
    """The store paths of an export that was read."""

    store: _Store
    paths: Annotated[list[ImportedPathDocument], "The store paths, in the order of the export."]
    path_count: _PathCount


class StoreExportDocument(Document):
    """The store paths that were exported."""

    file: Annotated[str | None, "The file of the export; null if it went to stdout."]
    paths: Annotated[list[str], "The store paths, references first."]
    path_count: _PathCount


class GarbageDocument(Document):
    """The paths and files that a garbage collection removes."""

    store: _Store
    dry_run: Annotated[bool, "Whether nothing was removed, but only listed."]
    paths: Annotated[list[RemovedPathDocument], "The store paths, in the order of their removal."]
    files: Annotated[list[StrayFileDocument], "Other files."]
    size: Annotated[int, "How many bytes are freed on disk."]
    kept: Annotated[int, "How many store paths stay."]


class StorePushDocument(Document):
    """The paths that a push sent."""

    to: Annotated[str, "The binary cache, without credentials."]
    sent: Annotated[list[str], "The store paths that were sent, references first."]
    signed: Annotated[list[str], "The store paths that were there and got new signatures."]
    reused: Annotated[int, "How many store paths were there and stayed as they were."]
    size: Annotated[int, "How many bytes of compressed NARs were sent."]
    present: Annotated[int, DEPRECATED + "reused."]


class KeyDocument(Document):
    """The public half of a key."""

    name: Annotated[str, "The name of the key."]
    public_key: Annotated[str, "The public key, as NAME:BASE64."]
    file: Annotated[str, "The file of the secret key."]


def dump_narinfo(narinfo: NarInfo) -> NarInfoDocument:
    """Return the document of a store path."""
    info = narinfo.info
    address = narinfo.address or None
    return {
        "path": str(info.path),
        "nar_hash": info.nar_hash.sri,
        "nar_size": info.nar_size,
        "references": list(map(str, sorted(info.references))),
        "deriver": f"{STORE_DIR}/{narinfo.deriver}" if narinfo.deriver else None,
        "signatures": list(narinfo.signatures),
        "content_address": address,
        "url": narinfo.url,
        "narHash": info.nar_hash.sri,
        "narSize": info.nar_size,
        "ca": address,
    }


def dump_paths(store: str | None, paths: Sequence[NarInfo], warnings: Iterable[str] = ()) -> PathListDocument:
    """Return the document of ``lamina store ls``, ``add`` and ``sign``."""
    return {
        "store": store,
        "paths": list(map(dump_narinfo, paths)),
        "path_count": len(paths),
        "nar_size": sum(narinfo.info.nar_size for narinfo in paths),
        "warnings": list(warnings),
    }


def dump_path_info(store: str, paths: Iterable[StoredPath]) -> PathInfoDocument:
    """Return the document of ``lamina store info``."""
    return {"store": store, "paths": list(map(_dump_stored_path, paths)), "warnings": []}


def _dump_stored_path(path: StoredPath) -> StoredPathDocument:
    return {
        **dump_narinfo(path.known),
        "closure_size": path.closure_size,
        "file": str(path.file),
        "closureSize": path.closure_size,
    }


def dump_fetch(store: str, result: FetchResult) -> FetchDocument:
    """Return the document of ``lamina store fetch``."""
    new = [narinfo.info.nar_size for narinfo in result.paths if narinfo.info.path in result.new]
    return {
        "store": store,
        "paths": [_dump_fetched_path(narinfo, fetched=narinfo.info.path in result.new) for narinfo in result.paths],
        "path_count": len(result.paths),
        "fetched_count": len(new),
        "fetched_nar_size": sum(new),
        "warnings": list(result.warnings),
    }


def _dump_fetched_path(narinfo: NarInfo, *, fetched: bool) -> FetchedPathDocument:
    return {**dump_narinfo(narinfo), "reused": not fetched, "fetched": fetched}


def dump_import(store: str, paths: Sequence[ImportedPath], warnings: Iterable[str]) -> ImportDocument:
    """Return the document of ``lamina store import``."""
    return {
        "store": store,
        "paths": list(map(_dump_imported_path, paths)),
        "path_count": len(paths),
        "warnings": list(warnings),
    }


def _dump_imported_path(imported: ImportedPath) -> ImportedPathDocument:
    size = imported.info.nar_size
    return {
        "path": str(imported.info.path),
        "nar_size": size,
        "reused": not imported.is_new,
        "narSize": size,
        "new": imported.is_new,
    }


def dump_store_export(output: str, paths: Sequence[lamina.StorePath], warnings: Iterable[str]) -> StoreExportDocument:
    """Return the document of ``lamina store export``; ``output`` is the value of ``-o``."""
    return {
        "file": None if output == "-" else output,
        "paths": list(map(str, paths)),
        "path_count": len(paths),
        "warnings": list(warnings),
    }


def dump_garbage(store: str, result: GCResult, *, dry_run: bool) -> GarbageDocument:
    """Return the document of ``lamina store gc``."""
    return {
        "store": store,
        "dry_run": dry_run,
        "paths": [{"path": str(path), "size": size} for path, size in result.paths],
        "files": [{"file": os.path.join(store, name), "size": size, "name": name} for name, size in result.files],
        "size": result.size,
        "kept": result.kept,
        "warnings": list(result.warnings),
    }


def dump_store_push(to: str, result: PushResult) -> StorePushDocument:
    """Return the document of ``lamina store push``; ``to`` is the cache without credentials."""
    return {
        "to": to,
        "sent": list(map(str, result.sent)),
        "signed": list(map(str, result.signed)),
        "reused": result.present,
        "size": result.size,
        "present": result.present,
        "warnings": list(result.warnings),
    }


def dump_key(key: lamina.PublicKey, file: str) -> KeyDocument:
    """Return the document of ``lamina store key``."""
    return {"name": key.name, "public_key": str(key), "file": file, "warnings": []}
