"""Local search: each kind of change is found, and no change makes a plan worse."""

import random

import pytest
from tests.support.closures import random_closure
from tests.support.factories import closure

from lamina.core.closure import Closure
from lamina.layering.merging import merge_greedily
from lamina.layering.search import Group, improve, move_single_items
from lamina.layering.updates import Items


def make_items(found: Closure) -> tuple[Items, list[str]]:
    return Items.of(found, range(len(found)), [1] * len(found)), [info.path.name for info in found]


def total(items: Items, groups: object) -> int:
    assert isinstance(groups, list)
    return sum(Group.of(items, group).cost for group in groups)


def named(groups: object, names: list[str]) -> list[str]:
    assert isinstance(groups, list)
    return sorted("".join(sorted(names[number] for number in group)) for group in groups)


def numbers(names: list[str], *groups: str) -> list[list[int]]:
    return [[names.index(name) for name in group] for group in groups]


# An application that needs two independent libraries, each with a dependency of its own.
TWO = closure("A→B,D B→C D→E", A=1, B=50, C=50, D=50, E=50)


def test_a_single_path_moves_to_the_group_that_changes_with_it() -> None:
    items, names = make_items(TWO)
    assert named(move_single_items(items, numbers(names, "A", "BCE", "D"), 1), names) == ["A", "BC", "DE"]


def test_paths_that_share_a_dependency_move_together() -> None:
    """Neither B nor F can leave the group of E alone: the other would still bring C and G into it."""
    found = closure("A→B,F,D B→C,G F→C,G D→E,H C→ G→ H→", A=1, B=50, F=50, C=1, G=1, D=50, E=50, H=50)
    items, names = make_items(found)
    start = numbers(names, "A", "BFDEH", "CG")
    assert named(improve(items, start, 3), names) == ["A", "BCFG", "DEH"]


def test_a_group_is_split_while_the_budget_has_room() -> None:
    items, names = make_items(TWO)
    assert named(improve(items, numbers(names, "ABCDE"), 3), names) == ["A", "BC", "DE"]
    assert named(improve(items, numbers(names, "ABCDE"), 9), names) == ["A", "B", "C", "D", "E"]


def test_two_groups_are_merged_to_split_a_third() -> None:
    found = closure("A→B,D,X,Y B→C D→E X→ Y→", A=1, B=5000, C=5000, D=5000, E=5000, X=1000, Y=1000)
    items, names = make_items(found)
    assert named(improve(items, numbers(names, "A", "BCDE", "X", "Y"), 4), names) == ["A", "BC", "DE", "XY"]


@pytest.mark.parametrize("seed", range(6))
def test_no_change_makes_groups_more_expensive(seed: int) -> None:
    items, _ = make_items(random_closure(seed, 60, 1 + seed % 3))
    chance = random.Random(seed)
    groups = [[number for number in range(60) if number % 7 == rest] for rest in range(7)]
    for start in (merge_greedily(items, 7), groups, [chance.sample(range(60), 60)]):
        moved, found = move_single_items(items, start, 1), improve(items, start, 7)
        assert total(items, found) <= total(items, moved) * 1.1
        assert max(total(items, moved), total(items, found)) <= total(items, start)
        assert len(found) <= 7
        assert sorted(number for group in found for number in group) == list(range(60))


def test_a_group_knows_which_bits_only_one_member_has() -> None:
    items, names = make_items(closure("A→B,C B→D C→D"))
    group = Group.of(items, [names.index(name) for name in "BC"])
    assert group.mask.bit_count() == 3
    assert group.shared == items.masks[names.index("D")]
