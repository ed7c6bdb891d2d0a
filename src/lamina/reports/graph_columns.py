"""Arrange the paths of a closure in columns, so that every reference points to a column further left.

A path's rank is the length of the longest chain of references below it. The paths of one rank fill as many columns as
they need to stay about as high as the drawing is wide.
"""

from __future__ import annotations

from collections import defaultdict
from math import ceil, sqrt

from lamina.core.closure import Closure

# A closure of a few paths is drawn in short columns, too.
_LEAST_ROWS = 8


def arrange(closure: Closure) -> list[list[int]]:
    """Return the path numbers of each column, from left to right and from top to bottom.

    Within a rank, each path is about as high as the paths that it refers to are on average; equal ones are in the order
    of the closure.
    """
    ranks = _rank(closure)
    rows = max(_LEAST_ROWS, ceil(sqrt(len(closure))))
    heights: dict[int, float] = {}
    columns: list[list[int]] = []
    for members in ranks:
        ordered = sorted(members, key=lambda number: (_average(closure, number, heights), number))
        for place, number in enumerate(ordered):
            heights[number] = (place + 0.5) / len(ordered)
        count = ceil(len(ordered) / rows)
        # Neighbours in the order go to different columns of the rank, at the same height.
        columns += [ordered[first::count] for first in range(count)]
    return columns


def _rank(closure: Closure) -> list[list[int]]:
    """Return the path numbers of each rank, from those that refer to no other path."""
    ranks = [0] * len(closure)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for number in closure.order:
        ranks[number] = 1 + max((ranks[reference] for reference in closure.references[number]), default=-1)
        members[ranks[number]].append(number)
    return [members[rank] for rank in sorted(members)]


def _average(closure: Closure, number: int, heights: dict[int, float]) -> float:
    # The sum must not depend on the order of the references, which is that of a set.
    found = sorted(heights[reference] for reference in closure.references[number])
    return sum(found) / len(found) if found else 0.0
