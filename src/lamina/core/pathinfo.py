"""The metadata of a store path that a store knows without reading its files.

A `PathInfo` does not depend on the store in which the path was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.messages.sizes import format_size


@dataclass(frozen=True, slots=True)
class PathInfo:
    """The information that a store has about a path without reading its files.

    Attributes:
        path: the store path.
        nar_hash: the digest of its NAR.
        nar_size: the size of its NAR in bytes.
        references: the paths that it refers to, which may include itself.
    """

    path: StorePath
    nar_hash: Digest
    nar_size: int
    references: frozenset[StorePath]

    def __repr__(self) -> str:
        return f"<PathInfo {self.path.name}: {format_size(self.nar_size)}, {len(self.references)} references>"
