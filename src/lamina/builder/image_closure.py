"""The closure of an image: the store paths that its arguments name, and everything that these refer to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from lamina.builder.architecture import resolve_root_for
from lamina.builder.root import add_declared_entries
from lamina.core.closure import Closure
from lamina.core.names import StorePath, StoreSubpath
from lamina.core.nodes import Content, Regular, Symlink
from lamina.errors import InvalidArgument, NotFound, default_hint
from lamina.formats.reference_scanner import ReferenceScanner, scan_references
from lamina.inputs.nix_build import build_roots
from lamina.inputs.roots import MISSING_PATH_HINT
from lamina.inputs.spec import Spec
from lamina.rootfs.entries import Perm, Xattr
from lamina.rootfs.tree import Tree
from lamina.stores.resolve import resolve_closure
from lamina.stores.store import Store
from lamina.system.transfer import transfer


def resolve_contents(spec: Spec, store: Store) -> list[StoreSubpath]:
    """Return the contents of ``spec`` as paths in the store; Nix builds those that are not."""
    return [_resolve_content(spec, store, text) for text in build_roots(spec.contents, spec.search_path)]


def _resolve_content(spec: Spec, store: Store, text: str) -> StoreSubpath:
    content = resolve_root_for(store, text, spec.architecture)
    if content.path.is_derivation:
        raise InvalidArgument(
            text,
            "a derivation",
            "a store path that it builds",
            hint=f"nix-store --realise {content.path} prints it; --closure adds the derivation itself",
        )
    return content


def resolve_spec_closure(
    spec: Spec, contents: Iterable[StoreSubpath], store: Store, *, is_packed: bool
) -> tuple[Closure, tuple[str, ...]]:
    """Return the closure of the contents, of the closure argument and of the paths in the config, with warnings."""
    roots = {*(content.path for content in contents), *resolve_added(spec, store)}
    closure = _resolve_closure(roots, store, is_packed=is_packed)
    return _extend_closure(closure, store, scan_config(spec), is_packed=is_packed)


def resolve_declared_closure(
    spec: Spec, contents: Iterable[StoreSubpath], store: Store
) -> tuple[Closure, tuple[str, ...]]:
    """Return the closure of everything that ``spec`` declares, and warnings, without opening a store path.

    What scripts and ready-made contents refer to is not in it.
    """
    closure, closure_warnings = resolve_spec_closure(spec, contents, store, is_packed=False)
    tree = Tree()
    add_declared_entries(
        replace(spec, tree=tuple(entry for entry in spec.tree if not isinstance(entry, Perm | Xattr))), tree
    )
    closure, reference_warnings = add_references(closure, store, tree, is_packed=False)
    return closure, (*closure_warnings, *reference_warnings)


def add_references(closure: Closure, store: Store, tree: Tree, *, is_packed: bool) -> tuple[Closure, tuple[str, ...]]:
    """Return ``closure`` with the paths that files in ``tree`` mention, and a warning for each that no store has."""
    return _extend_closure(closure, store, _scan_tree(tree, _make_hash_filter(closure, store)), is_packed=is_packed)


def resolve_added(spec: Spec, store: Store) -> tuple[StorePath, ...]:
    """Return the store paths of the closure argument, in the order in which they were named."""
    return tuple(resolve_root_for(store, text, spec.architecture).path for text in spec.closure)


def _resolve_closure(roots: Iterable[StorePath], store: Store, *, is_packed: bool) -> Closure:
    """Return the closure of ``roots``. If it ``is_packed``, take each path from a store that has its contents."""
    ordered = sorted(roots)
    with default_hint(MISSING_PATH_HINT, NotFound):
        return resolve_closure(ordered, store) if is_packed else Closure.resolve(ordered, store.query)


def _extend_closure(
    closure: Closure, store: Store, references: ReferenceScanner, *, is_packed: bool
) -> tuple[Closure, tuple[str, ...]]:
    """Return ``closure`` with the paths in ``references`` added, and a warning for each path that no store has."""
    known_hashes = {info.path.hash for info in closure}
    mentioned = [path for path in references.paths if path.hash not in known_hashes]
    valid = store.resolve_mentions(mentioned)
    bare_hashes = references.hashes - known_hashes - {path.hash for path in mentioned}
    by_hash = store.with_hashes(bare_hashes) if bare_hashes else ()
    added = {*valid.values(), *by_hash}
    warnings = tuple(
        f"{path}: mentioned by the config or the root, but not valid in the store; left out"
        for path in sorted(mentioned)
        if path not in valid
    )
    if not added:
        return closure, warnings
    return _resolve_closure({*(info.path for info in closure), *added}, store, is_packed=is_packed), warnings


def scan_config(spec: Spec) -> ReferenceScanner:
    """Return the store paths and hashes that the config of ``spec`` mentions."""
    return scan_references(json.dumps(spec.config).encode())


def _scan_tree(tree: Tree, is_known: Callable[[str], bool]) -> ReferenceScanner:
    """Return the references in names, symlinks, extended attributes and files, with a NUL between any two of them."""
    scanner = ReferenceScanner(is_known)
    texts: list[bytes] = []
    contents: list[Content] = []
    for node, meta in tree:
        texts.append(node.path)
        texts += (value for _, value in meta.xattrs)
        if isinstance(node, Symlink):
            texts.append(node.target)
        elif isinstance(node, Regular) and node.size:
            contents += (b"\0", node.content)
    scanner.feed(b"\0".join(texts))
    if contents:
        transfer(contents, scanner.feed)
    scanner.close()
    return scanner


def _make_hash_filter(closure: Closure, store: Store) -> Callable[[str], bool]:
    """Return a function that returns whether 32 digits are the hash of a known path.

    The store's hashes are read at most once, when the first hash outside the closure is found.
    """
    in_closure = frozenset(info.path.hash for info in closure)
    in_store = cache(store.hashes)
    return lambda digits: digits in in_closure or digits in in_store()
