"""Laws of layering, compared with slow implementations that follow the definitions."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import graphs

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.layering import STRATEGIES, plan
from lamina.layering.auto import auto
from lamina.layering.popularity import compute_popularity, popularity
from lamina.layering.reach import Reachability, Weights, iter_bits

LAW = examples(80)
Children = Mapping[StorePath, Collection[StorePath]]


def children_of(infos: Iterable[PathInfo]) -> Children:
    return {info.path: info.references - {info.path} for info in infos}


def below(path: StorePath, children: Children) -> set[StorePath]:
    """Return all paths that ``path`` reaches, without itself."""
    found: set[StorePath] = set()
    for child in children[path]:
        found |= {child} | below(child, children)
    return found


def naive_popularities(infos: Iterable[PathInfo]) -> dict[StorePath, int]:
    """Compute popularities: `pop_x[c] += 1` for each child c, `pop_x[s] += pop_c[s] + 1` for each descendant s of c.

    This is the formula of nixpkgs' closure-graph.py; the roots are children of a virtual node.
    """
    children = children_of(infos)
    roots = [path for path in children if not any(path in targets for targets in children.values())]

    def count(own: Collection[StorePath]) -> Counter[StorePath]:
        scores: Counter[StorePath] = Counter()
        for child in own:
            scores[child] += 1
            inner = count(children[child])
            for descendant in below(child, children):
                scores[descendant] += inner[descendant] + 1
        return scores

    return dict(count(roots))


def naive_auto(infos: Iterable[PathInfo], limit: int, ignored: Collection[StorePath]) -> list[tuple[StorePath, ...]]:
    """Compute the layers of nixpkgs' automatic layering with plain sets; equal closure sizes are ordered by path."""
    by_path = {info.path: info for info in sorted(infos, key=lambda info: info.path)}
    children = children_of(by_path.values())
    dependencies = {path: below(path, children) for path in by_path}
    split: dict[StorePath, frozenset[StorePath]] = dict.fromkeys(by_path, frozenset())
    waiting = sorted(by_path, key=lambda path: by_path[path].nar_size)
    while waiting:
        primary = waiting.pop()
        deps = dependencies[primary]
        referrers = {path for path in by_path if primary in dependencies[path]}
        finer = {**split, primary: frozenset({primary})}
        for dependency in deps:
            nearer = finer[dependency] - referrers
            finer[dependency] = nearer if nearer & deps else nearer | {primary}
        if len(set(finer.values())) > limit:
            break
        split = finer
    layers = []
    for key in set(split.values()):
        paths = [path for path in by_path if split[path] == key]
        needed = set(paths).union(*(dependencies[path] for path in paths))
        kept = [path for path in paths if path not in ignored]
        if kept:
            size = sum(by_path[path].nar_size for path in needed)
            layers.append((size, sorted(kept), tuple(sorted(kept, key=lambda path: (path.name, path.hash)))))
    return [paths for _, _, paths in sorted(layers)]


@st.composite
def graphs_and_ignored(draw: st.DrawFn) -> tuple[tuple[PathInfo, ...], frozenset[StorePath]]:
    infos = draw(graphs())
    paths = [info.path for info in infos]
    return infos, draw(st.frozensets(st.sampled_from(paths), max_size=3)) if paths else frozenset()


@given(graphs())
@LAW
def test_popularities_match_their_definition(infos: tuple[PathInfo, ...]) -> None:
    """The order is that of nixpkgs' closure-graph.py for every acyclic graph."""
    assert compute_popularity(Closure.of(infos)) == naive_popularities(infos)


@given(graphs_and_ignored(), st.integers(1, 14))
@LAW
def test_popularity_is_computed_without_ignored_paths(
    given: tuple[tuple[PathInfo, ...], frozenset[StorePath]], budget: int
) -> None:
    infos, ignored = given
    kept = [
        PathInfo(info.path, info.nar_hash, info.nar_size, info.references - ignored)
        for info in infos
        if info.path not in ignored
    ]
    scores = naive_popularities(kept)
    order = sorted(scores, key=lambda path: (-scores[path], path.name, path.hash))
    expected = [(path,) for path in order[: budget - 1]] + ([tuple(order[budget - 1 :])] if order[budget - 1 :] else [])
    assert [layer.paths for layer in popularity(Closure.of(infos), budget, ignored)] == expected


@given(graphs_and_ignored(), st.integers(1, 14))
@examples(200)
def test_auto_matches_its_definition(given: tuple[tuple[PathInfo, ...], frozenset[StorePath]], budget: int) -> None:
    """The layers are those of nixpkgs for every acyclic graph."""
    infos, ignored = given
    found = auto(Closure.of(infos), budget, ignored)
    assert [layer.paths for layer in found] == naive_auto(infos, budget, ignored)


@given(graphs_and_ignored(), st.sampled_from(sorted(STRATEGIES)), st.integers(0, 4), st.integers(1, 14), st.data())
@LAW
def test_a_plan_is_a_partition_within_its_budget(
    given: tuple[tuple[PathInfo, ...], frozenset[StorePath]],
    strategy: str,
    base: int,
    extra: int,
    data: st.DataObject,
) -> None:
    """A plan is a partition of the closure within its budget, and depends only on the graph."""
    infos, ignored = given
    max_layers = base + 1 + extra

    def layered(order: Iterable[PathInfo]) -> object:
        return plan(Closure.of(order), max_layers=max_layers, base_layers=base, strategy=strategy, ignored=ignored)

    found = plan(Closure.of(infos), max_layers=max_layers, base_layers=base, strategy=strategy, ignored=ignored)
    assert len(found) <= extra
    assert all(layer.paths for layer in found)
    packed = [path for layer in found for path in layer.paths]
    assert sorted(packed) == sorted({info.path for info in infos} - ignored)
    assert layered(data.draw(st.permutations(infos))) == found


# --- bit masks


@given(st.sets(st.integers(0, 300)))
@LAW
def test_iter_bits_yields_the_bits_of_a_mask(bits: set[int]) -> None:
    assert list(iter_bits(sum(1 << index for index in bits))) == sorted(bits)


@given(st.lists(st.integers(0, 1 << 70), max_size=30), st.data())
@LAW
def test_weights_are_summed(weights: list[int], data: st.DataObject) -> None:
    mask = data.draw(st.integers(0, (1 << len(weights)) - 1))
    expected = sum(weight for index, weight in enumerate(weights) if mask >> index & 1)
    assert Weights(weights).sum(mask) == expected


@given(graphs())
@LAW
def test_reach_is_the_transitive_closure(infos: tuple[PathInfo, ...]) -> None:
    """Dependencies and referrers are by path number, and include no path itself."""
    closure = Closure.of(infos)
    children, number, reach = children_of(infos), closure.numbers, Reachability.of(closure)
    for path, index in number.items():
        needed = {number[found] for found in below(path, children)}
        assert set(iter_bits(reach.dependencies[index])) == needed
        assert all(reach.referrers[other] >> index & 1 for other in needed)
        assert not (reach.dependencies[index] | reach.referrers[index]) >> index & 1
