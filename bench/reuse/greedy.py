"""Two simple strategies to compare with: greedy merging, and greedy merging with a plain local search.

The cost of a layer is its size × the sum of the rates of all paths in the closures of its paths. The rates are those of
the drawn updates. *Greedy* merges the two groups whose union adds the least cost, again and again. The *local search*
moves single paths to the group where they cost least, and splits the most expensive group when one becomes empty, until
nothing improves. Both compare all groups with each other, without the means that make `cost` fast.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence

from bench.reuse.updates import MAX_PATHS, ROOT_SHARE

from lamina.core.closure import Closure
from lamina.layering import LayerPlan
from lamina.layering.reach import Reachability


class _Rates:
    """The cost of groups of path numbers, in units of the rate of one path."""

    def __init__(self, closure: Closure) -> None:
        reach = Reachability.of(closure).dependencies
        self.masks = [mask | 1 << number for number, mask in enumerate(reach)]
        self.sizes = [info.nar_size for info in closure]
        roots = [number for number in range(len(closure)) if not closure.referrers[number]]
        self._roots = sum(1 << number for number in roots)
        mean = (1 + MAX_PATHS) / 2
        self._root_rate = round(len(closure) * ROOT_SHARE / (1 - ROOT_SHARE) / mean / len(roots))

    def rate(self, mask: int) -> int:
        return mask.bit_count() + self._root_rate * (mask & self._roots).bit_count()

    def mask(self, group: Iterable[int]) -> int:
        found = 0
        for number in group:
            found |= self.masks[number]
        return found

    def cost(self, group: Collection[int]) -> int:
        return sum(self.sizes[number] for number in group) * self.rate(self.mask(group))


def plan_greedily(closure: Closure, budget: int) -> tuple[LayerPlan, ...]:
    """Plan at most ``budget`` layers by greedy merging."""
    return _make_plans(closure, _merge(_Rates(closure), len(closure), budget))


def plan_with_search(closure: Closure, budget: int) -> tuple[LayerPlan, ...]:
    """Plan at most ``budget`` layers by greedy merging and local search."""
    rates = _Rates(closure)
    groups = _merge(rates, len(closure), budget)
    while _move(rates, groups) or _split(rates, groups):
        pass
    return _make_plans(closure, groups)


def _merge(rates: _Rates, count: int, budget: int) -> list[set[int]]:
    groups = {number: ({number}, rates.masks[number], rates.sizes[number]) for number in range(count)}
    costs = {number: rates.sizes[number] * rates.rate(rates.masks[number]) for number in range(count)}

    def entry(first: int, second: int) -> tuple[int, int, int]:
        size = groups[first][2] + groups[second][2]
        together = size * rates.rate(groups[first][1] | groups[second][1])
        return together - costs[first] - costs[second], first, second

    heap = [entry(first, second) for second in range(count) for first in range(second)]
    heapq.heapify(heap)
    following = count
    while len(groups) > budget:
        _, first, second = heapq.heappop(heap)
        if first in groups and second in groups:
            one, other = groups.pop(first), groups.pop(second)
            groups[following] = (one[0] | other[0], one[1] | other[1], one[2] + other[2])
            costs[following] = groups[following][2] * rates.rate(groups[following][1])
            for number in groups:
                if number != following:
                    heapq.heappush(heap, entry(number, following))
            following += 1
    return [members for members, _, _ in groups.values()]


def _move(rates: _Rates, groups: list[set[int]]) -> bool:
    has_moved = False
    for source in groups:
        for number in sorted(source):
            gain = rates.cost(source) - rates.cost(source - {number})
            others = [group for group in groups if group is not source and group]
            added = [rates.cost(group | {number}) - rates.cost(group) for group in others]
            if added and min(added) < gain:
                source.remove(number)
                others[added.index(min(added))].add(number)
                has_moved = True
    return has_moved


def _split(rates: _Rates, groups: list[set[int]]) -> bool:
    """Fill an empty group with the path whose removal from the most expensive group saves most."""
    empty = next((group for group in groups if not group), None)
    largest = max(groups, key=rates.cost)
    if empty is None or len(largest) == 1:
        return False
    saved = {number: rates.cost(largest) - rates.cost(largest - {number}) - rates.cost({number}) for number in largest}
    number = max(sorted(saved), key=lambda each: saved[each])
    if saved[number] <= 0:
        return False
    largest.remove(number)
    empty.add(number)
    return True


def _make_plans(closure: Closure, groups: Sequence[Collection[int]]) -> tuple[LayerPlan, ...]:
    infos = closure.infos
    return tuple(LayerPlan.of((infos[number] for number in sorted(group)), "greedy") for group in groups if group)
