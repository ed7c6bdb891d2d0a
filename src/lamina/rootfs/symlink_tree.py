"""Build the symlink tree: the image's contents merged at its root.

Invariant: the result equals that of nixpkgs' ``symlinkJoin`` (X.Org's ``lndir``): the first input wins, folders are
merged, symlinks are copied unchanged, and files become symlinks to their path in the store. ``lndir`` skips conflicting
files silently; this module returns warnings about them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from lamina.core.names import STORE_DIR, StorePath, StoreSubpath
from lamina.core.nodes import Directory, Node, Regular, Symlink, select_subtree
from lamina.errors import InvalidArgument, NotFound
from lamina.rootfs.tree import DIRECTORY_MODE, SYMLINK_MODE, Meta, Tree

# Folders of version control systems that lndir leaves out.
_IGNORED_FOLDERS = {b"BitKeeper", b"RCS", b"SCCS", b"CVS", b"CVS.adm", b".svn"}
_MAX_LINKS = 40


def build_symlink_tree(
    contents: Sequence[StoreSubpath], nodes: Callable[[StorePath], Iterable[Node]]
) -> tuple[Tree, tuple[str, ...]]:
    """Merge ``contents`` into one tree of folders and symlinks.

    Returns:
        The tree, and warnings about nodes that were left out.

    Raises:
        InvalidArgument: A content is not a folder, leads out of the store, or leads through too many symlinks.
        NotFound: A content does not exist. Errors of ``nodes`` are passed on too.
    """
    builder = _TreeBuilder(nodes)
    for content in contents:
        builder.add(content)
    return builder.tree, tuple(builder.warnings)


class _TreeBuilder:
    def __init__(self, nodes: Callable[[StorePath], Iterable[Node]]) -> None:
        self.tree = Tree()
        self.warnings: list[str] = []
        self._nodes = nodes
        self._indexes: dict[StorePath, dict[bytes, Node]] = {}
        self._origin: dict[bytes, StoreSubpath] = {}

    def add(self, content: StoreSubpath) -> None:
        skipped_prefix: bytes | None = None
        for node in self._nodes_below(content):
            if skipped_prefix is not None and node.path.startswith(skipped_prefix):
                continue
            skipped_prefix = None
            if not self._add_node(node, content):
                skipped_prefix = node.path + b"/"

    def _add_node(self, node: Node, content: StoreSubpath) -> bool:
        """Add ``node``; return whether the nodes below it should be added too."""
        name = node.path.rpartition(b"/")[2]
        if name.endswith(b"~") or (isinstance(node, Directory) and name in _IGNORED_FOLDERS):
            self.warnings.append(f"/{_text(node.path)} of {content}: left out, as symlinkJoin does with such names")
            return False
        if isinstance(node, Regular):
            node = Symlink(node.path, os.fsencode(str(content)) + b"/" + node.path)
        present = self.tree.node(node.path)
        if present is None:
            self.tree.put(node, Meta(DIRECTORY_MODE if isinstance(node, Directory) else SYMLINK_MODE))
            self._origin[node.path] = content
        elif present != node:
            self._warn(node, content)
            return False
        return True

    def _warn(self, node: Node, content: StoreSubpath) -> None:
        first = self._origin[node.path]
        left_out = "all below that" if isinstance(node, Directory) else "that"
        self.warnings.append(
            f"/{_text(node.path)}: both {first} and {content} have it, left out {left_out} of {content}"
        )

    def _nodes_below(self, content: StoreSubpath) -> Iterator[Node]:
        """Yield the nodes below a folder, or below the folder that a symlink leads to, with paths relative to it."""
        path, subpath = self._resolve(content)
        for node in select_subtree(self._index(path).values(), subpath):
            relative = node.path[len(subpath) + 1 :] if subpath else node.path
            if node.path == subpath:
                if not isinstance(node, Directory):
                    raise InvalidArgument(
                        "contents",
                        f"{content}, which is a file",
                        "a folder",
                        hint=f"--symlink /PATH={content} links to it; --closure adds it without a link",
                    )
                continue
            yield _with_path(node, relative)

    def _resolve(self, content: StoreSubpath) -> tuple[StorePath, bytes]:
        """Return a store path and the path inside it; follow all symlinks on the way as the kernel does."""
        resolved: list[str] = []
        remaining = str(content).split("/")[::-1]
        links = 0
        while remaining:
            part = remaining.pop()
            if part == "..":
                resolved = resolved[:-1]
            elif part not in ("", "."):
                node = self._node([*resolved, part], content)
                if isinstance(node, Symlink):
                    links += 1
                    target = os.fsdecode(node.target)
                    resolved = [] if target.startswith("/") else resolved
                    remaining += target.split("/")[::-1]
                else:
                    resolved.append(part)
            if links > _MAX_LINKS:
                raise InvalidArgument("contents", f"{content}, which leads through {links} symlinks", "fewer")
        text = "/" + "/".join(resolved)
        return _split(text, content)

    def _node(self, parts: Sequence[str], content: StoreSubpath) -> Node | None:
        """Return the node at a path, or None for the folders above store paths, which are assumed to be no symlinks."""
        text = "/" + "/".join(parts)
        if not text.startswith(STORE_DIR + "/"):
            return None
        path, subpath = _split(text, content)
        node = self._index(path).get(subpath)
        if node is None:
            got = str(content) if text == str(content) else f"{content}, which leads to {text}"
            raise NotFound("contents", got, "it to exist in the store")
        return node

    def _index(self, path: StorePath) -> dict[bytes, Node]:
        if path not in self._indexes:
            self._indexes[path] = {node.path: node for node in self._nodes(path)}
        return self._indexes[path]


def _split(text: str, content: StoreSubpath) -> tuple[StorePath, bytes]:
    """Split ``text``, to which ``content`` leads, into its store path and the path inside of it."""
    try:
        path, subpath = StorePath.split(text)
    except InvalidArgument as error:
        got = f"{content}, which leads to {text}"
        raise InvalidArgument("contents", got, f"a path inside {STORE_DIR}/HASH-NAME") from error
    return path, os.fsencode(subpath)


def _with_path(node: Node, path: bytes) -> Node:
    match node:
        case Directory():
            return Directory(path)
        case Symlink():
            return Symlink(path, node.target)
        case Regular():
            return Regular(path, node.executable, node.size, node.content)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
