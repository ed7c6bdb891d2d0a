"""Greedy merging, compared with a slow implementation of its definition."""

import random

import pytest
from tests.support.closures import random_closure

from lamina.layering.merging import coarsen, merge_greedily
from lamina.layering.search import Group
from lamina.layering.updates import Items


def make_items(seed: int, paths: int) -> Items:
    found = random_closure(seed, paths)
    chance = random.Random(seed)
    return Items.of(found, range(len(found)), [chance.randint(1, 3) for _ in found])


def added_cost(items: Items, first: list[int], second: list[int]) -> int:
    return Group.of(items, first + second).cost - Group.of(items, first).cost - Group.of(items, second).cost


def merge_slowly(items: Items, budget: int) -> list[list[int]]:
    """Compare all pairs for each merge; of equal costs, the pair whose groups were made first is taken."""
    groups = [[number] for number in range(len(items))]
    while len(groups) > budget:
        pairs = [(first, second) for second in range(len(groups)) for first in range(second)]
        _, (first, second) = min((added_cost(items, groups[one], groups[other]), (one, other)) for one, other in pairs)
        joined = groups[first] + groups[second]
        groups = [group for index, group in enumerate(groups) if index not in {first, second}] + [joined]
    return groups


@pytest.mark.parametrize("seed", range(12))
def test_the_cheapest_pair_is_merged_each_time(seed: int) -> None:
    items = make_items(seed, 14)
    for budget in (1, 3, 7, 13, 14):
        assert merge_greedily(items, budget) == merge_slowly(items, budget)


def test_items_within_the_budget_stay_alone() -> None:
    items = make_items(1, 9)
    assert merge_greedily(items, 20) == [[number] for number in range(9)]


@pytest.mark.parametrize("limit", [20, 100, 449])
def test_coarsening_keeps_every_item_in_one_group(limit: int) -> None:
    items = make_items(3, 450)
    groups = coarsen(items, limit)
    assert len(groups) == limit
    assert sorted(number for group in groups for number in group) == list(range(450))


def test_coarsening_ends_with_a_group_for_each_section() -> None:
    assert len(coarsen(make_items(3, 450), 1)) == 3
