"""The nodes that a store path consists of: directories, symlinks and regular files.

A store path is a stream of `Node`s in NAR order, parents first and siblings sorted by the bytes of their names. Nodes
have no owner, no modification time and no hard links, as in a Nix archive. Content enters lamina only as nodes, so a
tree on disk and a NAR give the same layer (docs/design/0001-narrow-waist.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Extent(NamedTuple):
    """A range of a file, together with the size and modification time that the file had when it was listed.

    A reader that finds another size or modification time must refuse the bytes. ``offset``, ``length`` and
    ``file_size`` are in bytes, ``mtime_ns`` in nanoseconds. This is a named tuple, which is faster to create than a
    dataclass, because there is one for every file of an image.
    """

    file: bytes
    offset: int
    length: int
    file_size: int
    mtime_ns: int

    @classmethod
    def whole(cls, file: bytes, size: int, mtime_ns: int) -> Extent:
        """Return the extent of a whole file of ``size`` bytes."""
        return cls(file, 0, size, size, mtime_ns)

    def part(self, offset: int, length: int) -> Extent:
        """Return the extent of ``length`` bytes, ``offset`` bytes after the start of this one."""
        return Extent(self.file, self.offset + offset, length, self.file_size, self.mtime_ns)


Content = bytes | Extent
"""The content of a file: its bytes, or where they can be read."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder. ``path`` is relative to the store path and empty for the store path itself."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link and its target text."""

    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Regular:
    """A regular file: whether it is executable, its size in bytes, and its content."""

    path: bytes
    executable: bool
    size: int
    content: Content


Node = Directory | Symlink | Regular


def is_utf8(text: bytes) -> bool:
    """Return whether ``text`` is valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def select_subtree(nodes: Iterable[Node], folder: bytes) -> Iterator[Node]:
    """Yield the nodes at and below ``folder`` in their order; paths stay relative to the store path."""
    prefix = folder + b"/"
    for node in nodes:
        if not folder or node.path == folder or node.path.startswith(prefix):
            yield node
