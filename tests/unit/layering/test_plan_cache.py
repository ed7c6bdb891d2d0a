"""The plan cache: what the key of a plan depends on, which entries are used, and when plans are made again."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.closures import random_closure
from tests.support.plan_cache import MemoryPlanCache

from lamina.core.closure import Closure
from lamina.layering import PinnedLayers, PlanCache, plan
from lamina.layering.cost import ALGORITHM, partition
from lamina.layering.known_updates import KnownUpdates, parse_rates
from lamina.layering.plan_cache import dump_groups, make_plan_key, parse_groups
from lamina.layering.plans import LayerPlan
from lamina.layering.updates import Items

CLOSURE = random_closure(1, 40)
ITEMS = Items.of(CLOSURE, range(40), [1] * 40)
# The closures (seed and number of paths) and budgets of RECORDED.
CASES = [(0, 60, 5), (1, 80, 20), (2, 150, 40), (3, 700, 650)]
RECORDED = {1: "d5b041f137d2d3d7"}


def plan_with(cache: PlanCache, closure: Closure = CLOSURE, max_layers: int = 9) -> Sequence[LayerPlan]:
    return plan(closure, max_layers=max_layers, strategy="cost", cache=cache)


def test_a_change_of_plans_needs_a_new_version_of_the_algorithm() -> None:
    """Layer caches keep plans under the version. If this fails, increase `ALGORITHM` and record the new hash."""
    hashed = hashlib.sha256()
    for seed, paths, budget in CASES:
        items = Items.of(random_closure(seed, paths), range(paths), [1 + number % 3 for number in range(paths)])
        hashed.update(repr(dump_groups(partition(items, budget))).encode())
    assert {ALGORITHM: hashed.hexdigest()[:16]} == {ALGORITHM: RECORDED.get(ALGORITHM)}


def test_the_key_depends_on_everything_that_a_plan_depends_on() -> None:
    one, *others = ITEMS.masks
    variants = [
        ITEMS,
        replace(ITEMS, masks=[one | 1 << 39, *others]),
        replace(ITEMS, sizes=[*ITEMS.sizes[:-1], ITEMS.sizes[-1] + 1]),
        replace(ITEMS, extras=[1, *ITEMS.extras[1:]]),
        replace(ITEMS, probabilities=[*ITEMS.probabilities[:-1], 7]),
        ITEMS.select(range(39)),
        ITEMS.select([1, 0, *range(2, 40)]),
    ]
    keys = [make_plan_key(items, 8, 1) for items in variants]
    keys += [make_plan_key(ITEMS, 9, 1), make_plan_key(ITEMS, 8, 2)]
    assert len({*keys}) == len(keys)
    assert make_plan_key(replace(ITEMS), 8, 1) == keys[0]


def test_groups_are_read_back() -> None:
    assert list(dump_groups([[4, 1], [3, 0], [2]])) == [0, 1, 2, 0, 1]
    assert parse_groups([0, 1, 2, 0, 1], 5, 3) == [[0, 3], [1, 4], [2]]


@pytest.mark.parametrize("layers", [[], [0, 0], [0, 0, 0, 0], [0, 2, 0], [1, 1, 1], [-1, 0, 1], [0, 1, 2]])
def test_what_is_no_division_of_the_items_is_refused(layers: list[int]) -> None:
    assert parse_groups(layers, 3, 2) is None


def test_a_plan_is_looked_up_before_it_is_made() -> None:
    cache = MemoryPlanCache()
    first = plan_with(cache)
    assert len(cache.plans) == 1
    # Another valid entry in its place shows that no plan is made.
    (key,) = cache.plans
    cache.plans[key] = [number // 5 for number in range(40)]
    assert {len(layer.paths) for layer in plan_with(cache)} == {5}
    del cache.plans[key]
    assert plan_with(cache) == first


def test_rates_sizes_and_budgets_have_plans_of_their_own() -> None:
    cache = MemoryPlanCache()
    plan_with(cache)
    plan_with(cache, max_layers=10)
    plan(CLOSURE, max_layers=9, known=KnownUpdates(parse_rates({"path3": 50}, "rates")), cache=cache)
    plan(CLOSURE, max_layers=9, lists=[["path3"]], cache=cache)
    plan_with(cache, Closure.of(replace(info, nar_size=info.nar_size + 1) for info in CLOSURE))
    assert len(cache.plans) == 5


def test_a_new_version_of_which_only_the_hashes_differ_has_the_same_plan() -> None:
    cache = MemoryPlanCache()
    plan_with(cache)
    plan_with(cache, Closure.of(replace(info, nar_hash=CLOSURE.infos[0].nar_hash) for info in CLOSURE))
    assert len(cache.plans) == 1


@pytest.mark.parametrize("strategy", ["auto", "popularity"])
def test_fast_strategies_and_a_layer_for_each_path_need_no_cache(strategy: str) -> None:
    cache = MemoryPlanCache()
    plan(CLOSURE, max_layers=9, strategy=strategy, cache=cache)
    plan_with(cache, max_layers=41)
    assert cache.plans == {}


def test_pinned_layers_use_the_cache_for_the_rest() -> None:
    earlier = PinnedLayers(tuple(layer.paths for layer in plan_with(MemoryPlanCache())[:3]))
    expected = plan(CLOSURE, max_layers=9, strategy=earlier)
    cache = MemoryPlanCache()
    assert plan(CLOSURE, max_layers=9, strategy=earlier, cache=cache) == expected
    assert cache.plans
    before = {**cache.plans}
    assert plan(CLOSURE, max_layers=9, strategy=earlier, cache=cache) == expected
    assert cache.plans == before
