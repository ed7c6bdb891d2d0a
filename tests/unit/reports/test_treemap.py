"""Treemaps."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.reports.treemap import Rectangle, squarify

WHOLE = Rectangle(10, 20, 140, 100)
WEIGHTS = st.lists(st.integers(0, 1 << 40), max_size=60)


def overlap(one: Rectangle, other: Rectangle) -> float:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(width, 0) * max(height, 0)


@given(WEIGHTS)
def test_areas_are_in_proportion_to_weights(weights: Sequence[int]) -> None:
    total = sum(weights)
    for weight, rectangle in zip(weights, squarify(weights, WHOLE), strict=True):
        expected = WHOLE.area * weight / total if total else 0
        assert math.isclose(rectangle.area, expected, rel_tol=1e-6, abs_tol=1e-6)


@given(WEIGHTS)
def test_rectangles_lie_within_the_whole_and_beside_each_other(weights: Sequence[int]) -> None:
    rectangles = squarify(weights, WHOLE)
    for number, rectangle in enumerate(rectangles):
        assert rectangle.x >= WHOLE.x
        assert rectangle.y >= WHOLE.y
        assert rectangle.x + rectangle.width <= WHOLE.x + WHOLE.width + 1e-6
        assert rectangle.y + rectangle.height <= WHOLE.y + WHOLE.height + 1e-6
        assert all(overlap(rectangle, other) < 1e-6 for other in rectangles[:number])


def test_the_example_of_the_paper() -> None:
    """Bruls, Huizing, van Wijk: Squarified Treemaps, figure 3: areas 6, 6, 4, 3, 2, 2, 1 in 6 × 4."""
    found = squarify([6, 6, 4, 3, 2, 2, 1], Rectangle(0, 0, 6, 4))
    assert found[:2] == [Rectangle(0, 0, 3, 2), Rectangle(0, 2, 3, 2)]
    assert found[2].width == pytest.approx(12 / 7)
    ratios = [max(item.width / item.height, item.height / item.width) for item in found]
    assert ratios == pytest.approx([3 / 2, 3 / 2, 49 / 36, 49 / 27, 25 / 18, 25 / 18, 25 / 9])


def test_equal_weights_make_nearly_square_rectangles() -> None:
    for rectangle in squarify([5] * 35, Rectangle(0, 0, 140, 100)):
        assert 0.5 < rectangle.width / rectangle.height < 2


def test_nothing_to_divide() -> None:
    assert squarify([], WHOLE) == []
    assert squarify([0, 0], WHOLE) == [Rectangle(10, 20, 0, 0)] * 2
    assert squarify([3], Rectangle(0, 0, 0, 5)) == [Rectangle(0, 0, 0, 0)]


def test_the_order_of_weights_does_not_matter() -> None:
    rising, falling = squarify([1, 2, 3], WHOLE), squarify([3, 2, 1], WHOLE)
    assert rising == falling[::-1]
