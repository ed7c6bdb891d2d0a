"""A closure is resolved again until every path comes from a store that has its contents."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from tests.support.factories import MemoryStore, closure, infos, path

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.stores.resolve import resolve_closure
from lamina.stores.store import Store


class ChangingStore(Store):
    """A store whose answers change when its sources turn out to be bad: each of ``graphs`` in turn."""

    def __init__(self, *graphs: str) -> None:
        self._stores = [MemoryStore(infos(graph)) for graph in graphs]
        self.confirmed: list[Closure] = []

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return self._stores[0].query(paths)

    def nodes(self, path: StorePath) -> Sequence[Node]:
        return self._stores[0].nodes(path)

    def confirm_sources(self, closure: Iterable[PathInfo]) -> bool:
        self.confirmed.append(Closure.of(closure))
        changes = len(self._stores) > 1
        if changes:
            self._stores.pop(0)
        return changes


def test_the_closure_is_that_of_the_stores_that_have_the_contents() -> None:
    store = ChangingStore("A→B", "A→C", "A→C  C→D")
    assert resolve_closure([path("A")], store) == closure("A→C  C→D")
    assert [len(found) for found in store.confirmed] == [2, 2, 3]


def test_roots_may_be_an_iterator() -> None:
    assert len(resolve_closure(iter([path("A")]), ChangingStore("A", "A→B"))) == 2
