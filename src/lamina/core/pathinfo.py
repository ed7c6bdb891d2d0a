"""What a store knows of a path without opening it.

Invariant: a `PathInfo` says nothing that depends on where the path was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.core.names import Digest, StorePath


@dataclass(frozen=True, slots=True)
class PathInfo:
    """The hash and size of a path's NAR, and the paths it refers to, itself perhaps."""

    path: StorePath
    nar_hash: Digest
    nar_size: int
    references: frozenset[StorePath]
