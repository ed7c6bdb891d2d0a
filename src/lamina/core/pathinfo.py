"""The metadata of a store path that a store knows without opening it.

A `PathInfo` is the same in whichever store the path was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.core.names import Digest, StorePath


@dataclass(frozen=True, slots=True)
class PathInfo:
    """The hash and size in bytes of a path's NAR, and the paths that it refers to, possibly itself."""

    path: StorePath
    nar_hash: Digest
    nar_size: int
    references: frozenset[StorePath]
