"""Layering by cost, compared with the least cost of all plans of small closures."""

import random
from collections.abc import Iterator

from tests.support.closures import random_closure
from tests.support.examples import scale

from lamina.core.closure import Closure
from lamina.layering.cost import partition
from lamina.layering.search import Group
from lamina.layering.updates import Items


def least_costs(items: Items) -> list[int]:
    """Return the least cost of a plan for each budget from 1 up, by dynamic programming over subsets.

    The least cost of a subset in ``k + 1`` groups is that of the group with its first item, plus the least cost of the
    rest in ``k`` groups.
    """
    subsets = range(1 << len(items))
    alone = [Group.of(items, (n for n in range(len(items)) if subset >> n & 1)).cost for subset in subsets]
    least, costs = alone, [alone[-1]]
    while len(costs) < len(items):
        least = [min((alone[subset ^ rest] + least[rest] for rest in rests(subset)), default=0) for subset in subsets]
        costs.append(least[-1])
    return costs


def rests(subset: int) -> Iterator[int]:
    """Yield each subset of ``subset`` without its first item."""
    others = subset & (subset - 1)
    rest = others
    while subset:
        yield rest
        if not rest:
            return
        rest = (rest - 1) & others


def small_closures() -> Iterator[Closure]:
    """Yield closures of 3 to 9 paths, or 12 in a thorough run, with one root or several."""
    largest = 12 if scale(100) == 100 else 9
    for seed in range(scale(100)):
        chance = random.Random(seed)
        paths = chance.randint(3, largest)
        yield random_closure(seed, paths, chance.randint(1, paths // 2))


def test_plans_of_small_closures_cost_little_more_than_the_best() -> None:
    """The excess over the optimum is 2 % on average at most, and 10 % at worst."""
    excesses = []
    for closure in small_closures():
        items = Items.of(closure, range(len(closure)), [random.Random(len(closure)).randint(1, 3) for _ in closure])
        for budget, least in enumerate(least_costs(items), 1):
            found = sum(Group.of(items, group).cost for group in partition(items, budget))
            assert found >= least
            excesses.append(found / least - 1)
    assert sum(excesses) / len(excesses) <= 0.02
    assert max(excesses) <= 0.10
