"""A store whose listings and names are kept in memory, for a run that prepares many images.

Invariant: a store path never changes while it is valid, so an answer is what the store would give again. A name that
the store does not know is asked for again. Path infos are not kept here: `ChainedStore` keeps them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.stores.store import Store, WrappedStore

MAX_NODES = 200_000
"""How many nodes are kept. A node takes about 300 bytes, and images mostly list the same few packages."""


class MemoizedStore(WrappedStore):
    """Wraps ``store``; of the nodes, those of the paths that were listed last are kept, at most ``max_nodes``."""

    def __init__(self, store: Store, max_nodes: int = MAX_NODES) -> None:
        super().__init__(store)
        self._max_nodes = max_nodes
        self._found: dict[str, tuple[StorePath, ...]] = {}
        self._hashes: Collection[str] | None = None
        self._nodes: OrderedDict[StorePath, tuple[Node, ...]] = OrderedDict()
        self._count = 0

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of ``path``; raises what the store raises."""
        known = self._nodes.get(path)
        if known is None:
            known = self._nodes[path] = tuple(self._store.nodes(path))
            self._count += len(known)
            while self._count > self._max_nodes and len(self._nodes) > 1:
                self._count -= len(self._nodes.popitem(last=False)[1])
        else:
            self._nodes.move_to_end(path)
        return known

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths of the store that ``name`` may mean."""
        if not self._found.get(name):
            self._found[name] = self._store.find(name)
        return self._found[name]

    def hashes(self) -> Collection[str]:
        """Return the hashes of all paths that were valid when they were first asked for."""
        if self._hashes is None:
            self._hashes = self._store.hashes()
        return self._hashes
