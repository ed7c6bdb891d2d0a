"""Laws of the plan cache: a plan does not depend on what the cache holds."""

import tempfile
from pathlib import Path
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.closures import random_closure
from tests.support.examples import examples
from tests.support.plan_cache import MemoryPlanCache

from lamina.core.closure import Closure
from lamina.layer_cache.cache import LayerCache
from lamina.layering import plan
from lamina.layering.plan_cache import dump_groups, parse_groups

CLOSURES = st.builds(random_closure, st.integers(0, 100), st.integers(5, 25))
ENTRIES = st.lists(st.integers(0, 30) | st.integers(), max_size=30)


@given(CLOSURES, st.integers(1, 5), ENTRIES)
@examples(100)
def test_an_entry_that_cannot_be_a_plan_changes_nothing(closure: Closure, budget: int, entry: list[int]) -> None:
    """An entry that is not a division of exactly the closure's paths within the budget is made again."""
    assume(parse_groups(entry, len(closure), budget) is None)
    expected = plan(closure, max_layers=1 + budget)
    cache = MemoryPlanCache()
    plan(closure, max_layers=1 + budget, cache=cache)
    made = {**cache.plans}
    cache.plans = dict.fromkeys(made, entry)
    assert plan(closure, max_layers=1 + budget, cache=cache) == expected
    assert cache.plans == made


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, unique=True), max_size=9), st.randoms())
@examples(100)
def test_groups_in_any_order_are_read_back(drawn: list[list[int]], chance: Random) -> None:
    """``parse(dump(groups))`` has the same groups."""
    items = iter(range(500))
    groups = [[next(items) for _ in group] for group in drawn]
    chance.shuffle(groups)
    count = sum(map(len, groups))
    found = parse_groups(dump_groups(groups), count, len(groups))
    assert sorted(map(list, found or ())) == sorted(groups)


@given(st.integers(0, 20), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=40))
@examples(40)
def test_a_plan_is_the_same_with_a_damaged_layer_cache(seed: int, offset: int, garbage: bytes) -> None:
    """A plan is equal without a layer cache, with an empty one, with a full one, and with a damaged one."""
    closure = random_closure(seed, 20)
    expected = plan(closure, max_layers=6)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "layer-cache.sqlite")
        for _ in range(2):
            with LayerCache.open(file, lambda _: None) as cache:
                assert plan(closure, max_layers=6, cache=cache) == expected
        data = bytearray(file.read_bytes())
        start = offset % len(data)
        data[start : start + len(garbage)] = garbage
        file.write_bytes(data)
        for _ in range(2):
            with LayerCache.open(file, lambda _: None) as cache:
                assert plan(closure, max_layers=6, cache=cache) == expected
