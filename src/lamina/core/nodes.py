"""The narrow waist: what a store path is made of.

Invariant: a store path is a stream of `Node`s in NAR order (parents first, siblings by the bytes of their
names), and nothing else about it exists: no owner, no date, no hard link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Extent(NamedTuple):
    """A range of a file, as it was when somebody looked; a tuple, for it is made once for every file of an image.

    ``mtime_ns`` is the file's mtime in nanoseconds at that time; a reader that sees another one, or another
    size of the file, must refuse the bytes.
    """

    file: bytes
    offset: int
    length: int
    file_size: int
    mtime_ns: int

    @classmethod
    def whole(cls, file: bytes, size: int, mtime_ns: int) -> Extent:
        """All of a file of ``size`` bytes."""
        return cls(file, 0, size, size, mtime_ns)

    def part(self, offset: int, length: int) -> Extent:
        """So many bytes of it, from ``offset`` bytes behind its beginning on."""
        return Extent(self.file, self.offset + offset, length, self.file_size, self.mtime_ns)


Content = bytes | Extent


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder. ``path`` is relative to the store path and empty for the store path itself."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link and the text it holds."""

    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Regular:
    """A file: whether it may be executed, how many bytes it has, and where they are."""

    path: bytes
    executable: bool
    size: int
    content: Content


Node = Directory | Symlink | Regular


def select_subtree(nodes: Iterable[Node], folder: bytes) -> Iterator[Node]:
    """The nodes of the subtree at ``folder``, paths still relative to the store path, order kept."""
    inside = folder + b"/"
    for node in nodes:
        if not folder or node.path == folder or node.path.startswith(inside):
            yield node
