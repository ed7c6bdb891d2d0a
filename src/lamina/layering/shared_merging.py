"""Greedy merging for several images: merge the two groups of paths whose union adds the least cost, again and again.

Every group is a layer, with the set of images that have it. At first each item is a group, in all images that contain
the item. Merging two groups makes a layer of both for the images that have both. An image that has only one of them
keeps that one, so the registry then stores its bytes twice.

The cost of a merge is the number of bytes that the registry stores in addition, and the bytes that `UPDATES` updates of
each image with the new layer send in addition. A merge makes one layer less in each of these images. The cost is
divided by the number of those that still have too many layers, because one merge for ten images is better than ten
merges.

Sets of images are bit masks.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from lamina.layering.merging import GreedyMerger
from lamina.layering.reach import iter_bits
from lamina.layering.updates import CERTAIN, Items

UPDATES = 10
"""The number of updates of each image whose bytes count as much as bytes in the registry."""
# Keys are compared as integers, with so many bits after the point.
_PRECISION = 12

_Row = tuple[int, int, int, int, int]
"""A group: mask, size, extra probability, size × probability, and the images that have it."""


@dataclass(frozen=True, slots=True)
class SharedGroup:
    """Items that share a layer.

    Attributes:
        members: the item numbers, ascending.
        images: the images that have the layer, as a bit mask.
    """

    members: tuple[int, ...]
    images: int


class LayerCounts:
    """How many layers each image has, and how many it may have.

    Attributes:
        excess: the images that have too many layers, as a bit mask.
    """

    def __init__(self, budgets: Sequence[int], groups: Iterable[SharedGroup]) -> None:
        self._spare = list(budgets)
        self.excess: int = 0
        for group in groups:
            self.add(group.images, 1)

    def add(self, images: int, count: int) -> None:
        """Add ``count`` layers, which may be negative, to each of ``images``."""
        for image in iter_bits(images):
            self._spare[image] -= count
            if self._spare[image] < 0:
                self.excess |= 1 << image
            else:
                self.excess &= ~(1 << image)

    def spare(self, images: int) -> int:
        """Return how many layers can be added to all of ``images``; negative if one of them has too many."""
        return min(self._spare[image] for image in iter_bits(images))


def merge_inside(items: Items, groups: Sequence[SharedGroup], budgets: Sequence[int], limit: int) -> list[SharedGroup]:
    """Merge only groups of the same images, until each image is within its budget or ``limit`` groups are left.

    Args:
        items: the items.
        groups: one group for each item, in the order of the items.
        budgets: the maximum number of layers of each image.
        limit: the number of groups that is small enough.

    Returns:
        The groups; there may be more than ``limit`` if no two have the same images.
    """
    counts = LayerCounts(budgets, groups)
    numbers: dict[int, list[int]] = {}
    for group in groups:
        numbers.setdefault(group.images, []).extend(group.members)
    mergers = {images: GreedyMerger(items, members) for images, members in sorted(numbers.items())}
    left = len(groups)
    heap = [_make_entry(merger, images, counts) for images, merger in mergers.items() if len(merger) > 1]
    heapq.heapify(heap)
    while heap and counts.excess and left > limit:
        key, images = heap[0]
        if not images & counts.excess:
            heapq.heappop(heap)
            continue
        entry = _make_entry(mergers[images], images, counts)
        if entry[0] > key:  # fewer images need the merge than when the entry was made
            heapq.heapreplace(heap, entry)
            continue
        mergers[images].merge()
        left -= 1
        counts.add(images, -1)
        if len(mergers[images]) > 1 and images & counts.excess:
            heapq.heapreplace(heap, _make_entry(mergers[images], images, counts))
        else:
            heapq.heappop(heap)
    return [
        SharedGroup(tuple(sorted(members)), images) for images, merger in mergers.items() for members in merger.groups
    ]


def _make_entry(merger: GreedyMerger, images: int, counts: LayerCounts) -> tuple[int, int]:
    needed = (images & counts.excess).bit_count()
    return (images.bit_count() * merger.next_cost() << _PRECISION) // max(1, needed), images


def merge_across(items: Items, groups: Iterable[SharedGroup], budgets: Sequence[int]) -> list[SharedGroup]:
    """Merge groups, also those of different images, until each image is within its budget.

    Args:
        items: the items.
        groups: groups of item numbers. In each image, every item is in one group at most.
        budgets: the maximum number of layers of each image, 1 at least.

    Returns:
        The groups, in no particular order. Each image has the same items as before.
    """
    merger = _SharedMerger(items, groups, budgets)
    while merger.merge():
        pass
    return merger.groups


class _SharedMerger:
    """The groups that are left, by their numbers, which ascend: a changed group gets the next number."""

    def __init__(self, items: Items, groups: Iterable[SharedGroup], budgets: Sequence[int]) -> None:
        self._items = items
        ordered = sorted(groups, key=lambda group: (group.members, group.images))
        self._counts = LayerCounts(budgets, ordered)
        self._members: dict[int, tuple[int, ...]] = {}
        self._numbers: dict[tuple[int, ...], int] = {}
        self._rows: dict[int, _Row] = {}
        self._next = 0
        self._heap: list[tuple[int, int, int]] = []
        self._partners: dict[int, None] = {}
        self._known_excess = self._counts.excess
        for group in ordered:
            self._add(group.members, group.images)

    @property
    def groups(self) -> list[SharedGroup]:
        """The groups that are left."""
        return [SharedGroup(self._members[number], row[4]) for number, row in self._rows.items()]

    def merge(self) -> bool:
        """Do the merge that costs least; return whether one was needed."""
        if not self._counts.excess:
            return False
        first, second = self._find_cheapest()
        images, other_images = self._rows[first][4], self._rows[second][4]
        both = images & other_images
        members, other_members = self._remove(first), self._remove(second)
        self._counts.add(both, -1)
        if images & ~both:
            self._add(members, images & ~both)
        if other_images & ~both:
            self._add(other_members, other_images & ~both)
        self._add(tuple(sorted((*members, *other_members))), both)
        return True

    def _find_cheapest(self) -> tuple[int, int]:
        while True:
            key, first, second = heapq.heappop(self._heap)
            if first not in self._rows:
                continue
            if second in self._rows and self._find_best(self._rows[first], [second]) == (key, second):
                return first, second
            self._offer(first)

    def _remove(self, number: int) -> tuple[int, ...]:
        members = self._members.pop(number)
        del self._rows[number], self._numbers[members]
        self._partners.pop(number, None)
        return members

    def _add(self, members: tuple[int, ...], images: int) -> None:
        """Add a group, which may be in other images already."""
        number = self._numbers.get(members)
        if number is not None:
            images |= self._rows[number][4]
            self._remove(number)
        mask = size = extra = 0
        for member in members:
            mask |= self._items.masks[member]
            size += self._items.sizes[member]
            extra += self._items.extras[member]
        cost = size * (self._items.probabilities[mask.bit_count()] + extra)
        number = self._next
        self._next += 1
        self._members[number], self._numbers[members] = members, number
        self._rows[number] = mask, size, extra, cost, images
        self._offer(number)
        self._partners[number] = None

    def _offer(self, number: int) -> None:
        """Put the best partner among the groups with smaller numbers on the heap."""
        row = self._rows[number]
        if not row[4] & self._counts.excess:
            return
        best = self._find_best(row, self._list_partners(number))
        if best:
            key, other = best
            heapq.heappush(self._heap, (key, number, other))

    def _list_partners(self, number: int) -> Iterable[int]:
        """Return the smaller numbers of groups that an image with too many layers has."""
        excess = self._counts.excess
        if excess != self._known_excess:  # images never get more layers, so such a group has no partner ever again
            self._known_excess = excess
            self._partners = {other: None for other in self._partners if self._rows[other][4] & excess}
        return takewhile(lambda other: other < number, self._partners)

    def _find_best(self, row: _Row, others: Iterable[int]) -> tuple[int, int] | None:
        """Return what merging the group with the cheapest of ``others`` adds to the cost, and the number of that one.

        The cost is for each image that needs the merge. The result is None if no image needs one.
        """
        rows, probabilities, excess = self._rows, self._items.probabilities, self._counts.excess
        mask, size, extra, cost, images = row
        needing = images & excess
        best: tuple[int, int] | None = None
        for number in others:
            mask_, size_, extra_, cost_, images_ = rows[number]
            needed = (needing & images_).bit_count()
            if needed:
                both = images & images_
                sent = (size + size_) * (probabilities[(mask | mask_).bit_count()] + extra + extra_) - cost - cost_
                # A group is not stored on its own any more if no other image has it.
                stored = (size if images != both else 0) + (size_ if images_ != both else 0)
                added = CERTAIN * stored + UPDATES * both.bit_count() * sent
                found = (added << _PRECISION) // needed, number
                if best is None or found < best:
                    best = found
        return best
