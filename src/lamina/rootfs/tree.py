"""The root file system as a value: nodes with mode, owner and extended attributes, which nodes of store paths lack.

Invariant: the parent of every node is a folder of the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lamina.core.nodes import Directory, Node, Symlink
from lamina.errors import InvalidArgument

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
SYMLINK_MODE = 0o777


@dataclass(frozen=True, slots=True)
class Meta:
    """Mode bits, numeric owner, and extended attributes in ascending order of their names."""

    mode: int
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


Entry = tuple[Node, Meta]
EntryPool = dict[Entry, Entry]
"""The entries that several trees have, each once."""


class Tree:
    """A root file system that can be changed; paths are relative to it, and the empty path is the root itself."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {b"": (Directory(b""), Meta(DIRECTORY_MODE))}

    def __iter__(self) -> Iterator[Entry]:
        """Yield the nodes, parents first and siblings in the order of their names' bytes."""
        # No name contains a NUL, so this is the order of the names, one folder after the other.
        for path in sorted(self._entries, key=lambda path: path.replace(b"/", b"\0")):
            yield self._entries[path]

    def __contains__(self, path: bytes) -> bool:
        return path in self._entries

    def node(self, path: bytes) -> Node | None:
        """Return the node at ``path``, None if there is none."""
        return self._entries[path][0] if path in self._entries else None

    def put(self, node: Node, meta: Meta) -> None:
        """Add ``node`` or replace the one at its path; create missing folders above it.

        Raises:
            InvalidArgument: A folder would replace a file or symlink, or a file or symlink would replace a folder.
        """
        present = self.node(node.path)
        if present is not None and isinstance(present, Directory) != isinstance(node, Directory):
            raise InvalidArgument(f"/{_text(node.path)}", f"{_kind(present)} there", _kind(node))
        self._make_parents(node.path)
        self._entries[node.path] = node, meta

    def meta(self, path: bytes) -> Meta | None:
        """Return mode, owner and extended attributes of the node at ``path``, None if there is none."""
        return self._entries[path][1] if path in self._entries else None

    def remove(self, path: bytes) -> None:
        """Remove the node at ``path`` and everything below it; do nothing if there is none."""
        prefix = path + b"/"
        for removed in [found for found in self._entries if found == path or found.startswith(prefix)]:
            del self._entries[removed]

    def without(self, path: bytes) -> Tree:
        """Return a copy without ``path`` and everything below it."""
        copy = Tree()
        copy._entries = dict(self._entries)
        copy.remove(path)
        return copy

    def change(self, path: bytes, change: Callable[[Meta], Meta]) -> None:
        """Replace the `Meta` of the file or folder at ``path`` by the result of ``change`` for it.

        Raises:
            InvalidArgument: There is no node at ``path``, or it is a symlink.
        """
        node = self.node(path)
        if node is None or isinstance(node, Symlink):
            got = "nothing there" if node is None else f"a symlink to {_text(node.target)}"
            raise InvalidArgument(f"/{_text(path)}", got, "a file or folder of the image's root")
        self._entries[path] = node, change(self._entries[path][1])

    def share_entries(self, pool: EntryPool) -> None:
        """Use the entries of ``pool`` where they are equal, and add the others to it, so that trees share memory."""
        shared = (pool.setdefault(entry, entry) for entry in self._entries.values())
        self._entries = {entry[0].path: entry for entry in shared}

    def _make_parents(self, path: bytes) -> None:
        nearest = self._entries.get(path.rpartition(b"/")[0])
        if nearest and isinstance(nearest[0], Directory):  # then those above it are folders too
            return
        for parent in parent_paths(path):
            present = self.node(parent)
            if present is None:
                self._entries[parent] = Directory(parent), Meta(DIRECTORY_MODE)
            elif not isinstance(present, Directory):
                raise InvalidArgument(f"/{_text(path)}", f"{_kind(present)} at /{_text(parent)}", "a folder")


def parent_paths(path: bytes) -> Iterator[bytes]:
    """Return the paths of the folders above ``path``, topmost first, without the root."""
    return (path[:end] for end, byte in enumerate(path) if byte == ord("/"))


def _kind(node: Node) -> str:
    return {"Directory": "a folder", "Symlink": "a symlink"}.get(type(node).__name__, "a file")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
