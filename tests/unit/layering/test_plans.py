"""Layering: nixpkgs' examples, the budget, and closures of ten thousand paths."""

import os
import random
import subprocess
import sys

import pytest
from tests.support.examples import mark_rest
from tests.support.factories import closure, info, infos, layers, path
from tests.support.paths import REPOSITORY

from lamina.core.closure import Closure
from lamina.errors import InvalidArgument, PlanError
from lamina.layering import DEFAULT_MAX_LAYERS, STRATEGIES, LayerPlan, Pipeline, plan
from lamina.layering.auto import auto
from lamina.layering.cost import cost
from lamina.layering.popularity import compute_popularity, popularity, rank_by_popularity

# dockertools: A(100)→C(50),D(10)  B(80)→C,E(10)  C→F(5), below an ignored base.
SIZED = closure("base→A,B A→C,D B→C,E C→F", A=100, B=80, C=50, D=10, E=10, F=5)
CONTEST = closure("A→B,G B→C,E C→D,E D→F E→F")
STRATEGY = pytest.mark.parametrize("strategy", STRATEGIES)


# --- auto


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (1, ["A B C D E F"]),
        (2, ["A C D F", "B E"]),
        (3, ["A C D F", "B E"]),
        (4, ["C F", "B E", "A D"]),
        (5, ["E", "C F", "B", "A D"]),
        (6, ["D", "E", "C F", "B", "A"]),
        (7, ["F", "D", "E", "C", "B", "A"]),
        (10, ["F", "D", "E", "C", "B", "A"]),
    ],
)
def test_auto_gives_the_layers_of_nixpkgs(budget: int, expected: list[str]) -> None:
    """The worked example of auto-layer.py for every limit; the base counts towards it and is removed at the end."""
    found = auto(SIZED, budget, frozenset({path("base")}))
    if budget >= 6:  # D and E need 10 bytes each: nixpkgs' order is that of a hash seed, ours that of the paths
        assert sorted(layers(found)) == sorted(expected)
    else:
        assert layers(found) == expected


def test_layers_of_equal_closure_size_are_in_the_order_of_their_paths() -> None:
    assert layers(auto(SIZED, 6, frozenset({path("base")})))[:2] == ["D", "E"]
    assert layers(auto(closure("C→ B→ A→"), 3, ())) == ["A", "B", "C"]


def test_of_equal_sizes_the_greater_path_comes_first() -> None:
    assert layers(auto(closure("A→ B→ C→"), 2, ())) == ["C", "A B"]


def test_layers_are_sorted_by_closure_size() -> None:
    found = auto(SIZED, 4, frozenset({path("base")}))
    assert [layer.nar_size for layer in found] == [55, 90, 110]


def test_names_come_before_hashes_within_a_layer() -> None:
    found = Closure.of([info("z"), info("a"), info("m")])
    assert layers(auto(found, 1, ())) == ["a m z"]


def test_self_references_are_ignored() -> None:
    with_self = closure("base→A,B,base A→A,C,D B→B,C,E C→C,F F→F", A=100, B=80, C=50, D=10, E=10, F=5)
    ignored = frozenset({path("base")})
    assert all(layers(auto(with_self, n, ignored)) == layers(auto(SIZED, n, ignored)) for n in range(1, 9))


# --- popularity


def test_popularity_agrees_with_closure_graph_py() -> None:
    """The worked example of closure-graph.py."""
    scores = {path.name: score for path, score in compute_popularity(CONTEST).items()}
    assert scores == {"A": 1, "B": 2, "C": 3, "D": 4, "E": 5, "F": 9, "G": 2}
    assert layers(popularity(CONTEST, 99, ())) == ["F", "E", "D", "C", "B", "G", "A"]


def test_popularity_of_upstreams_own_unit_test() -> None:
    found = closure("foo→bar,baz bar→baz baz→tux")
    assert {path.name: score for path, score in compute_popularity(found).items()} == {
        "foo": 1,
        "bar": 2,
        "baz": 4,
        "tux": 6,
    }


def test_equal_popularities_are_ordered_by_name() -> None:
    """Ties ascend by the path with its first part moved to the end: name first, hash only as last resort."""
    found = Closure.of(info(name) for name in ("b-1", "a-2", "a-10", "c"))
    assert layers(popularity(found, 9, ())) == ["a-10", "a-2", "b-1", "c"]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (1, ["F E D C B G A"]),
        (2, ["F", "E D C B G A"]),
        (6, ["F", "E", "D", "C", "B", "G A"]),
        (7, ["F", "E", "D", "C", "B", "G", "A"]),
        (8, ["F", "E", "D", "C", "B", "G", "A"]),
    ],
)
def test_the_last_layer_has_the_other_paths(budget: int, expected: list[str]) -> None:
    """First `availableLayers-1` paths one per layer, all the rest in one final bulk layer."""
    assert layers(popularity(CONTEST, budget, ())) == expected


def test_the_reason_names_the_popularity() -> None:
    reasons = [layer.reason for layer in popularity(CONTEST, 3, ())]
    assert reasons == [
        "popularity 9 (how often needed)",
        "popularity 5 (how often needed)",
        "the rest, popularity 4 and less",
    ]
    assert popularity(CONTEST, 7, ())[-1].reason == "popularity 1 (how often needed)"


def test_ignored_paths_are_removed_with_their_edges() -> None:
    ignored = frozenset({path("base")})
    with_base = Closure.of([*CONTEST, info("base", "ABC")])
    assert popularity(with_base, 4, ignored) == popularity(CONTEST, 4, ())


# --- the budget


@STRATEGY
def test_a_base_of_two_layers_and_a_budget_of_four_leave_one(strategy: str) -> None:
    """Test pin of dockerTools: base with 2 layers + maxLayers=4 -> exactly 4 layers."""
    assert len(plan(CONTEST, max_layers=4, base_layers=2, strategy=strategy)) == 1
    assert len(plan(CONTEST, max_layers=2, strategy=strategy)) == 1


@STRATEGY
@pytest.mark.parametrize(("most", "base", "used"), [(1, 0, 1), (0, 0, 1), (-5, 0, 1), (3, 2, 3), (100, 120, 121)])
def test_a_budget_without_room_is_refused(strategy: str, most: int, base: int, used: int) -> None:
    with pytest.raises(PlanError) as caught:
        plan(CONTEST, max_layers=most, base_layers=base, strategy=strategy)
    assert str(caught.value).startswith(f"max layers: got {most}, expected at least {used + 1} layers: ")
    assert caught.value.expected.startswith(f"at least {used + 1} layers: ")


def test_a_budget_without_room_is_refused_for_an_empty_closure_too() -> None:
    with pytest.raises(PlanError):
        plan(Closure.of(()), max_layers=1)


@STRATEGY
def test_an_empty_closure_needs_no_layer(strategy: str) -> None:
    assert plan(Closure.of(()), strategy=strategy) == ()
    assert plan(closure("A→B"), strategy=strategy, ignored=[path("A"), path("B")]) == ()


def test_the_default_is_cost_in_a_hundred_layers() -> None:
    found = closure(" ".join(f"n{number}→" for number in range(150)))
    assert DEFAULT_MAX_LAYERS == 100
    assert plan(found) == cost(found, 99, ())
    assert len(plan(found)) == 99


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(
        InvalidArgument, match="layering: got 'cost-free', expected one of auto, cost, popularity, shared"
    ):
        plan(CONTEST, strategy="cost-free")


def test_the_most_popular_come_first_with_their_popularity() -> None:
    found = [(info.path.name, score) for info, score in rank_by_popularity(CONTEST)]
    assert found == [("F", 9), ("E", 5), ("D", 4), ("C", 3), ("B", 2), ("G", 2), ("A", 1)]


def test_a_strategy_may_be_a_pipeline_without_a_budget() -> None:
    pipeline = Pipeline.parse([["popularity_contest"]])
    assert layers(plan(CONTEST, max_layers=1, strategy=pipeline)) == ["F", "E", "D", "C", "B", "G", "A"]
    assert layers(plan(CONTEST, strategy=pipeline, ignored=[path("F")])) == layers(
        plan(closure("A→B,G B→C,E C→D,E D→ E→"), strategy="popularity")
    )


def test_a_plan_is_a_value() -> None:
    (found,) = plan(CONTEST, max_layers=2)
    assert found == LayerPlan.of(sorted(CONTEST, key=lambda info: info.path.name), found.reason, found.rate)
    assert found.nar_size == 7


# --- large closures, and independence of order


def many(paths: int, references: int) -> Closure:
    """Return a random graph, the same in every process."""
    chance = random.Random(paths)
    names = [f"n{number}" for number in range(paths)]
    targets: list[set[str]] = [set() for _ in names]
    while references:
        user = chance.randrange(1, paths)
        target = names[chance.randrange(user)]
        if target not in targets[user]:
            targets[user].add(target)
            references -= 1
    return Closure.of(info(name, targets[index], chance.randrange(100, 150)) for index, name in enumerate(names))


@pytest.mark.parametrize("strategy", mark_rest(STRATEGIES, 1))
def test_ten_thousand_paths_with_sixty_thousand_references_are_planned(strategy: str) -> None:
    found = many(10_000, 60_000)
    assert (len(found), sum(len(info.references) for info in found)) == (10_000, 60_000)
    layered = plan(found, max_layers=101, strategy=strategy)
    assert 50 < len(layered) <= 100
    assert sorted(path for layer in layered for path in layer.paths) == [info.path for info in found]


@pytest.mark.integration
def test_a_plan_does_not_depend_on_the_hash_seed() -> None:
    """A plan depends on the graph alone; nixpkgs' order of equal sizes depends on PYTHONHASHSEED."""
    code = (
        "from tests.support.factories import layers; from tests.unit.layering.test_plans import many\n"
        "from lamina.layering import plan\n"
        "print([layers(plan(many(200, 900), max_layers=30, strategy=name)) for name in ('auto', 'cost', 'popularity')])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("0", "1")
    }
    expected = [layers(plan(many(200, 900), max_layers=30, strategy=name)) for name in ("auto", "cost", "popularity")]
    assert outputs == {str(expected)}


def test_factories_make_sorted_paths_of_the_given_sizes() -> None:
    """The factories of these tests: paths sort like their letters, and sizes are as given."""
    found = infos("B→A,A2", A=5)
    assert [(info.path.name, info.nar_size, len(info.references)) for info in found] == [
        ("B", 1, 2),
        ("A", 5, 0),
        ("A2", 1, 0),
    ]
    assert path("A") < path("B") < path("Z")
