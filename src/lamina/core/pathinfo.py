"""The metadata of a store path that a store knows without reading its files.

A `PathInfo` does not depend on the store in which the path was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.core.names import Digest, StorePath


@dataclass(frozen=True, slots=True)
class PathInfo:
    """The hash of a path's NAR, its size in bytes, and the paths that the path refers to, which may include itself."""

    path: StorePath
    nar_hash: Digest
    nar_size: int
    references: frozenset[StorePath]
