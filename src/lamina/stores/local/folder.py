"""A folder that contains ``nix/store``: contents without path infos.

It provides the files on disk. Which paths are valid is the information of a closure graph or a database.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lamina.core.names import STORE_DIR, StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Unavailable
from lamina.stores.store import Store
from lamina.system.walk import missing_error, walk


class FolderStore(Store):
    """The store below ``root``; ``/`` stands for this machine's own store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._store = os.path.join(os.fsencode(root), os.fsencode(STORE_DIR[1:]))
        if not os.path.isdir(self._store):
            raise Unavailable(root, f"no {STORE_DIR[1:]} in it", "a folder that holds one")

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return nothing, because a folder has no path infos."""
        return {}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Walk the files of ``path``. Raises `NotFound` if there are none."""
        return walk(os.path.join(self._store, path.base.encode()))

    def location(self, path: StorePath) -> bytes:
        """Return where ``path`` is on disk. Raises `NotFound` if nothing is there."""
        disk_path = os.path.join(self._store, path.base.encode())
        if not os.path.lexists(disk_path):
            raise missing_error(disk_path)
        return disk_path
