"""Lay out a treemap: rectangles within a rectangle, with areas in proportion to weights.

The method is that of squarified treemaps (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000): rows of rectangles are
laid along the shorter side of what is left, and a row takes further rectangles as long as that makes them squarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle whose sides are parallel to the axes.

    Attributes:
        x: the distance of its left side from the origin.
        y: the distance of its upper side from the origin.
        width: its width.
        height: its height.
    """

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Its width times its height."""
        return self.width * self.height


def squarify(weights: Sequence[int], whole: Rectangle) -> list[Rectangle]:
    """Divide a rectangle into one for each weight.

    Args:
        weights: the weights, none of them negative, in any order.
        whole: the rectangle to divide.

    Returns:
        The rectangles in the order of the weights. Their areas are in proportion to the weights; a weight of 0 has a
        rectangle without area. The largest weights lie at the upper left.

    """
    total = sum(weights)
    found = [Rectangle(whole.x, whole.y, 0, 0)] * len(weights)
    if not total or not whole.area:
        return found
    scale = whole.area / total
    waiting = sorted((number for number, weight in enumerate(weights) if weight), key=lambda n: (-weights[n], n))
    rest = whole
    first = 0
    while first < len(waiting):
        side = min(rest.width, rest.height)
        last = _end_row([weights[number] * scale for number in waiting[first:]], side) + first
        row = waiting[first:last]
        cells, rest = _lay_row([weights[number] * scale for number in row], rest)
        for number, cell in zip(row, cells, strict=True):
            found[number] = cell
        first = last
    return found


def _end_row(areas: Sequence[float], side: float) -> int:
    """Return how many of ``areas``, which descend, make the squarest row along ``side``."""
    total, worst = 0.0, float("inf")
    for count, area in enumerate(areas):
        total += area
        ratio = max(side * side * areas[0] / (total * total), total * total / (side * side * area))
        if ratio > worst:
            return count
        worst = ratio
    return len(areas)


def _lay_row(areas: Sequence[float], rest: Rectangle) -> tuple[list[Rectangle], Rectangle]:
    """Return the rectangles of a row along the shorter side of ``rest``, and what then is left of it."""
    total = sum(areas)
    cells: list[Rectangle] = []
    if rest.width >= rest.height:
        depth = min(total / rest.height, rest.width)
        y = rest.y
        for area in areas:
            height = rest.height * area / total
            cells.append(Rectangle(rest.x, y, depth, height))
            y += height
        return cells, Rectangle(rest.x + depth, rest.y, rest.width - depth, rest.height)
    depth = min(total / rest.width, rest.height)
    x = rest.x
    for area in areas:
        width = rest.width * area / total
        cells.append(Rectangle(x, rest.y, width, depth))
        x += width
    return cells, Rectangle(rest.x, rest.y + depth, rest.width, rest.height - depth)
