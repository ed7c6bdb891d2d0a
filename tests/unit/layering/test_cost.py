"""Layering by cost: order, ties, ignored and listed paths, and large closures."""

import dataclasses
import hashlib
import random

import pytest
from tests.support.closures import random_closure
from tests.support.examples import mark_rest
from tests.support.factories import closure, layers, path

from lamina.core.closure import Closure
from lamina.core.names import StorePath, dump_nix32
from lamina.layering import plan
from lamina.layering.cost import cost, partition
from lamina.layering.search import Group
from lamina.layering.updates import Items

# The example of docs/layering.md.
EXAMPLE = closure(
    "app-1→python-3,libapp-1 libapp-1→openssl-3 python-3→openssl-3,glibc-2 openssl-3→glibc-2",
    **{"app-1": 5, "libapp-1": 10, "python-3": 60, "openssl-3": 20, "glibc-2": 30},
)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (1, ["app-1 glibc-2 libapp-1 openssl-3 python-3"]),
        (2, ["glibc-2 libapp-1 openssl-3 python-3", "app-1"]),
        (3, ["glibc-2", "libapp-1 openssl-3 python-3", "app-1"]),
        (4, ["glibc-2", "libapp-1 openssl-3", "python-3", "app-1"]),
        (5, ["glibc-2", "openssl-3", "libapp-1", "python-3", "app-1"]),
        (9, ["glibc-2", "openssl-3", "libapp-1", "python-3", "app-1"]),
    ],
)
def test_the_example_of_the_documentation(budget: int, expected: list[str]) -> None:
    assert layers(cost(EXAMPLE, budget, ())) == expected


def test_layers_that_rarely_change_come_first() -> None:
    plans = plan(random_closure(1, 80), max_layers=21, strategy="cost")
    shares = [layer.rate or 0 for layer in plans]
    assert len(plans) == 20
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1, abs=0.001)


def with_other_hashes(found: Closure) -> Closure:
    """Return the closure as it is after an update of everything, with the same sizes."""
    renamed = {
        info.path: StorePath.parse_base(
            f"{dump_nix32(hashlib.sha256(b'new' + info.path.base.encode()).digest()[:20])}-{info.path.name}"
        )
        for info in found
    }
    return Closure.of(
        dataclasses.replace(
            info, path=renamed[info.path], references=frozenset(renamed[each] for each in info.references)
        )
        for info in found
    )


@pytest.mark.parametrize("seed", range(2))
def test_new_hashes_do_not_change_the_groups(seed: int) -> None:
    found = random_closure(seed, 80)
    for budget in (5, 30):
        assert layers(cost(found, budget, ())) == layers(cost(with_other_hashes(found), budget, ()))


def test_what_only_an_ignored_path_needs_is_a_root() -> None:
    """The customisation layer is such a path: the application below it changes as often as it."""
    with_conf = closure(
        "conf→app-1 app-1→python-3,libapp-1 libapp-1→openssl-3 python-3→openssl-3,glibc-2 openssl-3→glibc-2",
        **{"app-1": 5, "libapp-1": 10, "python-3": 60, "openssl-3": 20, "glibc-2": 30},
    )
    assert cost(with_conf, 3, frozenset({path("conf")})) == cost(EXAMPLE, 3, ())


def test_listed_paths_are_in_no_layer_and_their_updates_count() -> None:
    listed = frozenset({path("app-1"), path("openssl-3")})
    plans = cost(EXAMPLE, 2, (), listed)
    assert layers(plans) == ["glibc-2", "libapp-1 python-3"]
    alone = [layer.reason for layer in cost(EXAMPLE, 5, ()) if layer.paths == (path("libapp-1"),)]
    assert [layer.reason for layer in cost(EXAMPLE, 3, (), listed) if layer.paths == (path("libapp-1"),)] == alone


def test_equal_paths_are_grouped_by_their_names() -> None:
    found = closure("z→a,b,c,d", a=10, b=10, c=10, d=10, z=10)
    assert layers(cost(found, 4, ())) == ["c", "d", "a b", "z"]


@pytest.mark.parametrize(("seed", "budget"), mark_rest([(0, 40), (1, 10), (2, 20), (3, 80)], 1))
def test_joining_paths_first_costs_at_most_two_percent(seed: int, budget: int) -> None:
    found = random_closure(seed, 200)
    items = Items.of(found, range(200), [1] * 200)
    full, joined = (
        sum(Group.of(items, group).cost for group in partition(items, budget, limit)) for limit in (200, 80)
    )
    assert joined <= full * 1.02


def test_a_plan_does_not_depend_on_the_order_of_the_input() -> None:
    infos = list(random_closure(2, 100))
    expected = cost(Closure.of(infos), 20, ())
    random.Random(1).shuffle(infos)
    assert cost(Closure.of(infos), 20, ()) == expected


@pytest.mark.parametrize("budget", [60, 119, 120, 200])
def test_a_budget_above_the_number_of_items_is_kept(budget: int) -> None:
    items = Items.of(random_closure(1, 120), range(120), [1] * 120)
    groups = partition(items, budget, 50)
    assert len(groups) == min(budget, 120)
    assert sorted(number for group in groups for number in group) == list(range(120))
