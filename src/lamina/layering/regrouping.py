"""Regrouping: dissolve a group and its nearest neighbours, and divide their items into new groups.

A local search ends where no single change helps. Merging the items of a few groups again from the start finds better
groups, which differ by several changes at once. The nearest neighbours of a group are those that would be cheapest to
merge with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.layering.merging import merge_greedily
from lamina.layering.search import Group, improve
from lamina.layering.updates import Items

# How many groups are dissolved together.
_GROUPS = 5
# How many pairs of items may be compared in all if their masks are short, and the length in bits of a short mask. The
# limit bounds the time, whatever the sizes of the groups and of the closure.
_MAX_PAIRS = 200_000
_SHORT_MASK = 1500
# Up to this many items are distributed from several beginnings, because local search often ends in different groups.
_FEW = 24


def regroup(items: Items, groups: Iterable[Sequence[int]], budget: int) -> list[tuple[int, ...]]:
    """Dissolve each group in turn, the most expensive first, and keep what reduces the cost.

    Args:
        items: what is grouped.
        groups: the groups, as item numbers.
        budget: the maximum number of groups.

    Returns:
        Groups of the same cost or less, in no particular order.
    """
    pairs_left = _MAX_PAIRS * _SHORT_MASK // max(_SHORT_MASK, len(items.probabilities))
    current = {group.members: group for group in (Group.of(items, members) for members in groups)}
    # Neither the same groups again, nor groups that cost as little as their items apart, can be improved.
    dissolved_in_vain: set[frozenset[tuple[int, ...]]] = set()
    while True:
        has_improved = False
        for members in sorted(current, key=lambda key: (-current[key].cost, key)):
            if members not in current:
                continue
            dissolved = _neighbourhood(items, current[members], current.values())
            count = sum(len(group.members) for group in dissolved)
            key = frozenset(group.members for group in dissolved)
            if count * count > pairs_left or key in dissolved_in_vain:
                continue
            if _total_cost(dissolved) == _cost_apart(items, dissolved):
                continue
            pairs_left -= count * count
            found = _distribute(items, dissolved)
            if _total_cost(found) < _total_cost(dissolved):
                for group in dissolved:
                    del current[group.members]
                current.update((group.members, group) for group in found)
                has_improved = True
            else:
                dissolved_in_vain.add(key)
        if not has_improved:
            return list(current)
        current = {group.members: group for group in (Group.of(items, m) for m in improve(items, current, budget))}


def _neighbourhood(items: Items, group: Group, others: Iterable[Group]) -> list[Group]:
    """Return ``group`` and those of ``others`` that would be cheapest to merge with it."""

    def merge_cost(other: Group) -> tuple[int, tuple[int, ...]]:
        probability = items.probabilities[(group.mask | other.mask).bit_count()] + group.extra + other.extra
        return (group.size + other.size) * probability - group.cost - other.cost, other.members

    nearest = sorted((other for other in others if other.members != group.members), key=merge_cost)
    return [group, *nearest[: _GROUPS - 1]]


def _distribute(items: Items, groups: Sequence[Group]) -> list[Group]:
    """Distribute the items of ``groups`` to as many groups or fewer."""
    numbers = sorted(number for group in groups for number in group.members)
    part = items.select(numbers)
    starts: list[Sequence[Sequence[int]]] = [merge_greedily(part, len(groups))]
    if len(numbers) <= _FEW:
        starts += [[range(len(numbers))], _slice(part, len(groups))]
    found = [
        [Group.of(items, (numbers[position] for position in members)) for members in improve(part, start, len(groups))]
        for start in starts
    ]
    return min(found, key=_total_cost)


def _slice(items: Items, count: int) -> Sequence[Sequence[int]]:
    """Divide the items into ``count`` groups or fewer, of items that change about equally often."""
    order = sorted(range(len(items)), key=lambda number: (items.probability(number), number))
    length = -(-len(order) // count)
    return [order[start : start + length] for start in range(0, len(order), length)]


def _cost_apart(items: Items, groups: Iterable[Group]) -> int:
    """Return what the items of ``groups`` cost with a group for each: no other groups of them cost less."""
    return sum(items.sizes[number] * items.probability(number) for group in groups for number in group.members)


def _total_cost(groups: Iterable[Group]) -> int:
    return sum(group.cost for group in groups)
