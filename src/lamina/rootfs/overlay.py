"""Overlay a root on the root of a base image without hiding any folder of the base image.

If the base has a symlink to a folder, such as ``/bin`` to ``usr/bin``, the content of the root's folder with that name
is moved to the target of the symlink. A folder of the base keeps its mode and owner unless the root sets values other
than the defaults. nixpkgs' customisation layer replaces the symlink, which hides the base's programs (nixpkgs #129007,
#110696).

Worked example: over a base with ``/bin -> usr/bin``, the root's ``bin/hello -> ../share/hello`` becomes
``usr/bin/hello -> ../../share/hello``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from lamina.core.nodes import Directory, Node, Symlink
from lamina.errors import FormatError
from lamina.formats.tar import OPAQUE, WHITEOUT
from lamina.rootfs.tree import DIRECTORY_MODE, Meta, Tree, parent_paths


class BaseRoot(Protocol):
    """The root of a base image; all paths are relative to it."""

    def resolve(self, path: bytes) -> bytes:
        """Return ``path`` with symlinks followed inside the root; parts that do not exist are kept."""

    def folder(self, path: bytes) -> Meta | None:
        """Return the mode and owner of the folder at ``path``, None if it is not a folder. Do not follow symlinks."""

    def link(self, path: bytes) -> Symlink | None:
        """Return the symlink at ``path``, None if it is not a symlink."""

    def exists(self, path: bytes) -> bool:
        """Return whether ``path`` exists. Do not follow symlinks."""


def overlay_tree(tree: Tree, base: BaseRoot, content_links: Collection[Node]) -> tuple[Tree, tuple[str, ...]]:
    """Return ``tree`` rearranged for laying it over ``base``, and warnings about nodes that were left out.

    ``content_links`` are the symlinks of the symlink tree. They are left out if they would hide a folder of the base. A
    symlink that was declared or made by a script may hide a folder.
    """
    overlay = _Overlay(base, frozenset(content_links))
    for node, meta in tree:
        overlay.add(node, meta)
    return overlay.tree, tuple(overlay.warnings)


def check_whiteouts(tree: Tree, *, over_base: bool) -> None:
    """Raise `FormatError` for a whiteout that would delete anything other than files of a base image.

    OCI image-spec, layer.md, "Whiteouts": a file ``.wh.NAME`` in a layer removes NAME of all layers below.
    """
    for node, _ in tree:
        folder, _, name = node.path.rpartition(b"/")
        if WHITEOUT not in node.path:
            continue
        hidden_path = folder if name == OPAQUE else _join(folder, name.removeprefix(WHITEOUT))
        is_whiteout = name.startswith(WHITEOUT) and b"/" + WHITEOUT not in b"/" + folder
        if (
            not is_whiteout
            or not over_base
            or hidden_path in (b"", b"nix")
            or f"{_text(hidden_path)}/".startswith("nix/store/")
        ):
            raise FormatError(
                f"/{_text(node.path)}",
                "a name that begins with .wh.",
                "such a name only for hiding files of a base image, because it deletes files of the layers below",
            )


class _Overlay:
    def __init__(self, base: BaseRoot, content_links: frozenset[Node]) -> None:
        self.tree = Tree()
        self.warnings: list[str] = []
        self._base = base
        self._content_links = content_links
        # Maps the path of a folder in the given root to its path in the result.
        self._destinations: dict[bytes, bytes] = {}

    def add(self, node: Node, meta: Meta) -> None:
        folder, _, name = node.path.rpartition(b"/")
        destination = _join(self._destinations.get(folder, b""), name) if node.path else b""
        if isinstance(node, Directory):
            self._add_folder(node.path, destination, meta)
        elif node in self._content_links and self._hides(node, destination):
            self.warnings.append(
                f"/{_text(destination)}: the base image has a folder there, left out the link of contents"
            )
        elif self._is_taken(destination):
            if self.tree.node(destination) != _move(node, destination):
                self.warnings.append(f"/{_text(node.path)}: leads to /{_text(destination)}, which is taken, left out")
        else:
            self.tree.put(_move(node, destination), meta)

    def _hides(self, node: Node, destination: bytes) -> bool:
        """Return whether ``node`` would replace a folder of the base, or another symlink to a folder."""
        return self._base.folder(self._base.resolve(destination)) is not None and _move(
            node, destination
        ) != self._base.link(destination)

    def _add_folder(self, path: bytes, destination: bytes, meta: Meta) -> None:
        resolved = self._base.resolve(destination)
        base_meta = self._base.folder(resolved)
        if resolved != destination and base_meta is None and self._base.exists(resolved):
            resolved = destination  # replace a symlink to something that is not a folder
        if self._is_taken(resolved) and not isinstance(self.tree.node(resolved), Directory):
            self.warnings.append(f"/{_text(path)}: leads to /{_text(resolved)}, which is taken, left out all below it")
        self._destinations[path] = resolved
        if meta == Meta(DIRECTORY_MODE):
            meta = base_meta or meta
        if path == resolved or not self._is_taken(resolved):
            self._add_parents(resolved)
            self.tree.put(Directory(resolved), meta)

    def _is_taken(self, destination: bytes) -> bool:
        """Return whether ``destination`` exists in the result, or is below a node that is not a folder."""
        parents = map(self.tree.node, parent_paths(destination))
        return self.tree.node(destination) is not None or any(
            parent is not None and not isinstance(parent, Directory) for parent in parents
        )

    def _add_parents(self, path: bytes) -> None:
        """Create the folders above ``path`` with the modes and owners that they have in the base."""
        for parent in parent_paths(path):
            if self.tree.node(parent) is None:
                self.tree.put(Directory(parent), self._base.folder(parent) or Meta(DIRECTORY_MODE))


def _move(node: Node, destination: bytes) -> Node:
    """Return ``node`` with the path ``destination``; a relative symlink still leads to the same path.

    Its target is rewritten only if it leaves the symlink's own folder.
    """
    if node.path == destination:
        return node
    if not isinstance(node, Symlink) or node.target.startswith(b"/"):
        return replace(node, path=destination)
    old_folder, new_folder = posixpath.dirname(node.path), posixpath.dirname(destination)
    link_target = posixpath.normpath(b"/" + old_folder + b"/" + node.target)
    if link_target.startswith(b"/" + old_folder + b"/"):
        return replace(node, path=destination)
    return Symlink(destination, posixpath.relpath(link_target, b"/" + new_folder))


def _join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
