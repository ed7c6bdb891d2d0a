"""A closure graph in JSON as a store: knowledge without contents.

Invariant: a path is valid here because the graph says so; nothing on this machine is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lamina.core.name_match import match_paths
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, NotFound
from lamina.formats import closure_graph
from lamina.system.documents import read_document

# A hundred thousand paths take less than half of it.
_MAX_BYTES = 256 << 20


class GraphStore:
    """What the graph in ``file`` says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        data = read_document(file, str(file), "a closure graph", limit=_MAX_BYTES)
        try:
            infos = closure_graph.parse(data)
        except FormatError as error:
            raise FormatError(f"{file}: {error}") from error
        self._infos = {info.path: info for info in infos}

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Those of ``paths`` that are in the graph."""
        return {path: self._infos[path] for path in paths if path in self._infos}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Raises `NotFound`: a graph has no contents."""
        raise NotFound(f"{path}: got a closure graph, {self._file}, expected a store that has the contents")

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The paths that ``name`` may mean, as `lamina.core.name_match` says."""
        return match_paths(self._infos, name)

    def hashes(self) -> Collection[str]:
        """The hashes of all paths."""
        return {path.hash for path in self._infos}

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """The paths that begin with one of ``hashes``."""
        return tuple(sorted(path for path in self._infos if path.hash in hashes))
