"""Greedy merging for several images."""

from collections.abc import Sequence

import pytest
from tests.support.fleets import random_fleet

from lamina.core.closure import Closure
from lamina.layering.shared_merging import LayerCounts, SharedGroup, merge_across, merge_inside
from lamina.layering.updates import Items


def make_items(sizes: Sequence[int], masks: Sequence[int]) -> Items:
    """Return items with the given masks; the probability rises with the number of bits, to 1 for ten."""
    return Items(masks, sizes, [0] * len(sizes), [(bits << 20) // 10 for bits in range(11)])


def describe(groups: Sequence[SharedGroup]) -> list[tuple[str, int]]:
    """Return the members of each group as digits, and its images."""
    return sorted(("".join(map(str, group.members)), group.images) for group in groups)


def fleet(seed: int) -> tuple[Items, list[SharedGroup], int]:
    """Return the paths of four images as items and groups."""
    closures = random_fleet(seed, 60, 4)
    union = Closure.of({info.path: info for each in closures for info in each}.values())
    groups = [
        SharedGroup((number,), sum(1 << index for index, each in enumerate(closures) if info.path in each))
        for number, info in enumerate(union)
    ]
    return Items.of(union, range(len(union)), [1] * len(union)), groups, len(closures)


def test_images_within_their_budgets_keep_their_groups() -> None:
    items, groups, count = fleet(1)
    assert merge_across(items, groups, [99] * count) == groups
    assert describe(merge_inside(items, groups, [99] * count, 1)) == describe(groups)


def test_only_groups_of_the_same_images_are_merged_inside() -> None:
    items = make_items([1, 1, 1, 1], [1, 1, 3, 3])
    groups = [SharedGroup((0,), 0b11), SharedGroup((1,), 0b01), SharedGroup((2,), 0b11), SharedGroup((3,), 0b10)]
    found = merge_inside(items, groups, [1, 1], 1)
    assert describe(found) == [("02", 0b11), ("1", 0b01), ("3", 0b10)]


def test_merging_inside_ends_at_the_limit() -> None:
    items, groups, count = fleet(2)
    assert len(merge_inside(items, groups, [1] * count, 20)) == 20


def test_an_image_with_one_of_two_merged_groups_keeps_it() -> None:
    items = make_items([10, 20], [1, 2])
    found = merge_across(items, [SharedGroup((0,), 0b11), SharedGroup((1,), 0b01)], [1, 1])
    assert describe(found) == [("0", 0b10), ("01", 0b01)]


def test_bytes_that_are_stored_twice_count() -> None:
    """The first image may have two layers. Merging 0 and 2 would send less, but store the large item 0 twice."""
    items = make_items([1000, 5, 5], [0b1, 0b1110, 0b1])
    groups = [SharedGroup((0,), 0b11), SharedGroup((1,), 0b01), SharedGroup((2,), 0b01)]
    assert describe(merge_across(items, groups, [2, 1])) == [("0", 0b11), ("12", 0b01)]
    alone = [SharedGroup(group.members, 0b01) for group in groups]
    assert describe(merge_across(items, alone, [2])) == [("02", 0b01), ("1", 0b01)]


def test_a_merge_that_several_images_need_comes_first() -> None:
    """Merging 0 and 1 costs 12 bytes, and merging 1 and 2 costs 10 but helps only one of the two images."""
    items = make_items([6, 10, 10], [0b1, 0b11, 0b11])
    groups = [SharedGroup((0,), 0b11), SharedGroup((1,), 0b11), SharedGroup((2,), 0b01)]
    assert describe(merge_across(items, groups, [2, 1])) == [("01", 0b11), ("2", 0b01)]


def test_a_group_that_exists_in_another_image_is_not_made_twice() -> None:
    items = make_items([10, 10], [1, 2])
    groups = [SharedGroup((0, 1), 0b10), SharedGroup((0,), 0b01), SharedGroup((1,), 0b01)]
    assert describe(merge_across(items, groups, [1, 1])) == [("01", 0b11)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [1, 3, 8])
def test_each_image_keeps_its_items(seed: int, budget: int) -> None:
    items, groups, count = fleet(seed)
    found = merge_across(items, merge_inside(items, groups, [budget] * count, 30), [budget] * count)
    for image in range(count):
        before = sorted(group.members[0] for group in groups if group.images >> image & 1)
        mine = [group.members for group in found if group.images >> image & 1]
        assert sorted(member for members in mine for member in members) == before
        assert len(mine) <= budget
    assert len({group.members for group in found}) == len(found)


def test_counts_know_the_spare_layers_of_images() -> None:
    counts = LayerCounts([2, 1], [SharedGroup((0,), 0b11), SharedGroup((1,), 0b11)])
    assert (counts.excess, counts.spare(0b01), counts.spare(0b11)) == (0b10, 0, -1)
    counts.add(0b11, -1)
    assert (counts.excess, counts.spare(0b01), counts.spare(0b11)) == (0, 1, 0)
