"""A folder that holds ``nix/store``: contents without knowledge.

Invariant: gives what is on disk and says nothing of what is valid; a graph or a database does that.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lamina.core.names import STORE_DIR, StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Unavailable
from lamina.system.walk import missing_error, walk


class FolderStore:
    """The store below ``root``; ``/`` is the machine's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._store = os.path.join(os.fsencode(root), os.fsencode(STORE_DIR[1:]))
        if not os.path.isdir(self._store):
            raise Unavailable(f"{root}: got no {STORE_DIR[1:]} in it, expected a folder that holds one")

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Nothing."""
        return {}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """What is on disk at ``path``; raises `NotFound` where there is nothing."""
        return walk(os.path.join(self._store, path.base.encode()))

    def location(self, path: StorePath) -> bytes:
        """Where ``path`` is on disk; raises `NotFound` where there is nothing."""
        top = os.path.join(self._store, path.base.encode())
        if not os.path.lexists(top):
            raise missing_error(top)
        return top
