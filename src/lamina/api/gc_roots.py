"""Roots of a garbage collection in the embedded store.

A ROOT can be several things, and the first match of this list counts: a store path, a spec file (TOML or JSON, with
``#NAME`` or without), a package name that the store knows, a link into the store, an image file or an OCI layout.

A ROOT that keeps nothing is an error. A file keeps those of its paths that are in the store. The others may be in
another store, because an image can be made from several.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lamina.core.names import STORE_DIR, StorePath
from lamina.errors import Error, FormatError, InvalidArgument, NotFound
from lamina.formats.json_toml import name_type
from lamina.formats.reference_scanner import scan_references
from lamina.images.readers.open import open_images
from lamina.inputs import specfile
from lamina.inputs.roots import resolve_root
from lamina.stores.embedded.store import EmbeddedStore

_SPEC_SUFFIXES = (".toml", ".json")


def resolve_gc_roots(store: EmbeddedStore, roots: Iterable[str]) -> tuple[StorePath, ...]:
    """Return the paths that ``roots`` name, ascending.

    Raises:
        NotFound: ``store`` has no path of a ROOT.
        InvalidArgument: a ROOT is none of the things that the module describes.
        Error: a file could not be read.
    """
    found: set[StorePath] = set()
    for root in roots:
        found.update(_resolve_gc_root(store, root))
    return tuple(sorted(found))


def _resolve_gc_root(store: EmbeddedStore, root: str) -> set[StorePath]:
    if f"{root}/".startswith(f"{STORE_DIR}/"):
        return {resolve_root(store, root).path}
    file = Path(root.partition("#")[0])
    if file.suffix in _SPEC_SUFFIXES and os.path.isfile(file):
        return _require_present(store, root, _paths_in_spec(store, root))
    if not os.path.exists(root) or ("/" not in root and store.find(root)) or _links_into_store(root):
        return {resolve_root(store, root).path}
    if not os.path.isfile(file) and not os.path.isdir(file):
        raise InvalidArgument(root, "neither a file nor a folder", "an image, a spec or a store path")
    return _require_present(store, root, _paths_in_image(file))


def _links_into_store(root: str) -> bool:
    return os.path.realpath(root).startswith(f"{STORE_DIR}/")


def _require_present(store: EmbeddedStore, root: str, paths: set[StorePath]) -> set[StorePath]:
    present = set(store.query(paths))
    if not present:
        raise NotFound(root, f"{len(paths)} store paths, none of them in {store.folder}", "at least one")
    return present


def _paths_in_image(file: Path) -> set[StorePath]:
    try:
        images = open_images(file)
    except FormatError as error:
        if error.hint:  # it would raise the limit of an image's size, which has no option here
            error.hint = "name the store paths of the image instead"
        raise
    return {path for image in images for layer in image.layers for path in layer.paths}


def _paths_in_spec(store: EmbeddedStore, root: str) -> set[StorePath]:
    tables = specfile.load_all(root).values()
    return {path for table in tables for path in _paths_in_table(store, table.arguments)}


def _paths_in_table(store: EmbeddedStore, arguments: Mapping[str, Any]) -> Iterator[StorePath]:
    """Yield the paths that an image of this table may need: its contents, its closure, and paths mentioned in it."""
    found = scan_references(json.dumps(arguments, default=str).encode())
    yield from found.paths
    yield from store.resolve_mentions(found.paths).values()
    yield from store.with_hashes(found.hashes & frozenset(store.hashes()))
    for key in ("contents", "closure"):
        value = arguments.get(key, ())
        for root in [value] if isinstance(value, str) else value:
            if not isinstance(root, str):
                raise InvalidArgument(key, name_type(root), "strings")
            if "/" not in root:
                # Several paths may have the name. The next build decides which it takes, so keep all of them.
                yield from store.find(root)
            elif not root.startswith(STORE_DIR):
                yield from _resolve_link(store, root)


def _resolve_link(store: EmbeddedStore, root: str) -> Iterator[StorePath]:
    try:
        yield resolve_root(store, root).path
    except Error:  # a link that leads nowhere, or out of the store, keeps nothing
        return
