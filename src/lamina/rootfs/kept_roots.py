"""Customisation layers of many images, which wait to be written with little memory and without an open file each.

A tree takes about 300 bytes of memory for each entry, and images that link the same packages have mostly equal entries.
The temporary folder of a script holds a file descriptor as long as it exists, so its layer is packed to a file at once.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import count

from lamina.core.labels import CUSTOMISATION_LAYER
from lamina.core.nodes import Extent
from lamina.errors import OutputError
from lamina.layers.layer import FinishedLayer, LayerSource
from lamina.rootfs.layer import RootLayer
from lamina.rootfs.tree import EntryPool
from lamina.system.tempdir import FOLDER_HINT, TempDir
from lamina.system.transfer import transfer


class KeptRoots:
    """Customisation layers with one temporary folder, which closing ``resources`` removes."""

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._pool: EntryPool = {}
        self._workspace: TempDir | None = None
        self._numbers = count()

    def keep(self, root: RootLayer) -> LayerSource:
        """Return a layer with the bytes of ``root``, which is closed if that is another object.

        Raises `OutputError` if the layer cannot be stored.
        """
        if root.workspace is None:
            root.tree.share_entries(self._pool)
            return root
        layer = self._pack(root)
        root.close()
        return layer

    def _pack(self, root: RootLayer) -> FinishedLayer:
        try:
            if self._workspace is None:
                self._workspace = self._resources.enter_context(TempDir())
            file = self._workspace.path / f"{next(self._numbers)}.tar"
            with file.open("xb") as out:
                transfer(root.pack().pieces, out.write)
            found = file.stat()
        except OSError as error:
            raise OutputError("customisation layer", error, "enough space to keep it", hint=FOLDER_HINT) from error
        tar = Extent.whole(os.fsencode(file), found.st_size, found.st_mtime_ns)
        return FinishedLayer(tar, "Creating the layer with customisation...", CUSTOMISATION_LAYER)
