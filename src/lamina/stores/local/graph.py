"""A closure graph in JSON as a store: path infos without contents.

The paths in the graph count as valid, even if they are not on this machine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lamina.core.name_match import match_paths
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InputError, NotFound, Unavailable, error_context
from lamina.formats import closure_graph
from lamina.stores.store import Store
from lamina.system.documents import read_document

# This is more than twice the size of a graph of a hundred thousand paths.
_MAX_BYTES = 256 << 20


class GraphStore(Store):
    """The paths of the closure graph in ``file``."""

    has_contents = False
    has_index = True

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            data = read_document(file, str(file), "a closure graph", limit=_MAX_BYTES)
        except InputError as error:
            raise error.convert(Unavailable) from error
        with error_context(file, FormatError):
            infos = closure_graph.parse(data)
        self._infos = {info.path: info for info in infos}

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos of those of ``paths`` that are in the graph."""
        return {path: self._infos[path] for path in paths if path in self._infos}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Raise `NotFound`, because a graph has no contents."""
        hint = "name a store that has it after the graph: --store graph.json --store STORE"
        raise NotFound(path, f"a closure graph, {self._file}", "a store that has the contents", hint=hint)

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths that ``name`` may mean (`lamina.core.name_match`)."""
        return match_paths(self._infos, name)

    def names(self) -> Collection[str]:
        """Return the names of all paths."""
        return {path.name for path in self._infos}

    def hashes(self) -> Collection[str]:
        """Return the hashes of all paths."""
        return {path.hash for path in self._infos}

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the paths that begin with one of ``hashes``, ascending."""
        return tuple(sorted(path for path in self._infos if path.hash in hashes))
