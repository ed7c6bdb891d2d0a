"""Greedy merging: merge the two groups whose union adds the least cost, again and again.

A heap has the best partner of each group among the groups after it. The partner of a group may have been merged in the
meantime. Its entry is then a lower bound, because every new group was compared with all others when it was made, so the
best partner is looked for again only when such an entry comes to the top. Equal costs are decided by the numbers of the
groups, which follow the order of the items.

The time grows with the square of the number of items. `coarsen` therefore compares only items of one section with each
other. A section has items that change about equally often, because those are cheap to merge.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from lamina.layering.updates import Items

# The number of items in a section: the time to coarsen grows with it, and so does the quality.
_SECTION = 200

_Row = tuple[int, int, int, int]
"""A group: mask, size, size × probability without the root updates, and extra probability."""


def merge_greedily(items: Items, budget: int) -> list[list[int]]:
    """Merge ``items`` into at most ``budget`` groups of item numbers."""
    merger = GreedyMerger(items, range(len(items)))
    while len(merger) > budget:
        merger.merge()
    return merger.groups


def coarsen(items: Items, limit: int) -> list[list[int]]:
    """Merge ``items`` into at most ``limit`` groups, or one for each section if those are more.

    Of all sections, the one with the cheapest merge comes first, so large items and those that rarely change stay
    alone.
    """
    order = sorted(range(len(items)), key=lambda number: (items.masks[number].bit_count(), number))
    starts = range(0, len(order), _SECTION)
    sections = [GreedyMerger(items, sorted(order[start : start + _SECTION])) for start in starts]
    count = len(items)
    heap = [(section.next_cost(), index) for index, section in enumerate(sections) if len(section) > 1]
    heapq.heapify(heap)
    while count > limit and heap:
        _, index = heapq.heappop(heap)
        section = sections[index]
        section.merge()
        count -= 1
        if len(section) > 1:
            heapq.heappush(heap, (section.next_cost(), index))
    return [group for section in sections for group in section.groups]


class GreedyMerger:
    """The groups that are left, by their numbers, which ascend: a merged group gets the next number."""

    def __init__(self, items: Items, numbers: Sequence[int]) -> None:
        self._items = items
        self._members = {number: [number] for number in numbers}
        self._rows = {
            number: self._make_row(items.masks[number], items.sizes[number], items.extras[number]) for number in numbers
        }
        self._next = len(items)
        # The cost of the cheapest entry that was put on the heap for each group.
        self._best: dict[int, int] = {}
        self._heap: list[tuple[int, int, int]] = []
        rows = list(self._rows.values())
        for position, number in enumerate(numbers[:-1], 1):
            self._offer(number, self._costs(number, rows[position:]), numbers[position:])

    @property
    def groups(self) -> list[list[int]]:
        """The groups, as lists of item numbers."""
        return list(self._members.values())

    def __len__(self) -> int:
        return len(self._rows)

    def next_cost(self) -> int:
        """Return what the next merge adds to the total cost. There must be two groups or more."""
        while True:
            cost, first, second = self._heap[0]
            if first in self._rows and second in self._rows:
                return cost
            heapq.heappop(self._heap)
            if first in self._rows:
                self._search_again(first)

    def merge(self) -> None:
        """Merge the two groups that are cheapest to merge. There must be two groups or more."""
        self.next_cost()
        _, first, second = heapq.heappop(self._heap)
        mask, size, _, extra = self._rows.pop(first)
        mask_, size_, _, extra_ = self._rows.pop(second)
        others, rows = list(self._rows), list(self._rows.values())
        number = self._next
        self._next += 1
        self._members[number] = self._members.pop(first) + self._members.pop(second)
        self._rows[number] = self._make_row(mask | mask_, size + size_, extra + extra_)
        for other, cost in zip(others, self._costs(number, rows), strict=True):
            if cost < self._best.get(other, cost + 1):
                self._best[other] = cost
                heapq.heappush(self._heap, (cost, other, number))

    def _costs(self, number: int, others: Sequence[_Row]) -> list[int]:
        """Return how much the union of the group ``number`` and each of ``others`` costs more than both."""
        probabilities = self._items.probabilities
        mask, size, cost, extra = self._rows[number]
        costs = [
            probabilities[(mask | mask_).bit_count()] * (size + size_) - cost - cost_ + size * extra_
            for mask_, size_, cost_, extra_ in others
        ]
        if not extra:
            return costs
        return [cost + extra * other[1] for cost, other in zip(costs, others, strict=True)]

    def _offer(self, number: int, costs: Sequence[int], others: Sequence[int]) -> None:
        cost = min(costs)
        self._best[number] = cost
        heapq.heappush(self._heap, (cost, number, others[costs.index(cost)]))

    def _search_again(self, number: int) -> None:
        # Dictionaries keep the order in which numbers were added, and numbers ascend.
        others = [other for other in self._rows if other > number]
        if others:
            self._offer(number, self._costs(number, [self._rows[other] for other in others]), others)

    def _make_row(self, mask: int, size: int, extra: int) -> _Row:
        return mask, size, size * self._items.probabilities[mask.bit_count()], extra
