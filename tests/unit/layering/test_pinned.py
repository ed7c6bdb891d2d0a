"""Layering after an earlier image: what is kept, what is planned again, and in which order."""

from __future__ import annotations

import pytest
from tests.support.closures import random_closure
from tests.support.factories import closure, infos, layers, path

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import PlanError
from lamina.layering import KnownUpdates, LayerPlan, PinnedLayers, plan
from lamina.layering.known_updates import parse_rates
from lamina.layering.pinned import KEPT

# Version 2 of the application, which has libapp-2 instead of libapp-1.
GRAPH = "app-2→python-3,libapp-2 libapp-2→openssl-3 python-3→openssl-3,glibc-2 openssl-3→glibc-2"
SIZES = {"app-2": 5, "libapp-2": 10, "python-3": 60, "openssl-3": 20, "glibc-2": 30}
CURRENT = closure(GRAPH, **SIZES)


def earlier(*groups: str) -> PinnedLayers:
    """Return the layers of an earlier image, such as ``app-1 libapp-1``."""
    return PinnedLayers(tuple(tuple(map(path, group.split())) for group in groups), "app.tar")


def plan_after(
    before: PinnedLayers, budget: int, found: Closure = CURRENT, known: KnownUpdates | None = None
) -> tuple[tuple[LayerPlan, ...], list[str]]:
    """Return the layers of ``found`` and the warnings."""
    warnings: list[str] = []
    plans = plan(found, max_layers=budget + 1, strategy=before, known=known or KnownUpdates(), warn=warnings.append)
    return plans, warnings


def names(before: PinnedLayers, budget: int, found: Closure = CURRENT) -> list[str]:
    return layers(plan_after(before, budget, found)[0])


def test_layers_whose_paths_are_all_wanted_are_kept() -> None:
    plans, warnings = plan_after(earlier("glibc-2 openssl-3", "python-3", "libapp-1", "app-1"), 4)
    assert layers(plans) == ["glibc-2 openssl-3", "python-3", "libapp-2", "app-2"]
    assert [layer.reason for layer in plans] == [KEPT, KEPT, "costs least alone", "costs least alone"]
    assert warnings == []


def test_a_kept_layer_has_the_packing_order_of_the_earlier_image() -> None:
    """Another order would give other bytes, and the layer would be sent again."""
    assert names(earlier("openssl-3 glibc-2", "python-3"), 4)[0] == "openssl-3 glibc-2"


def test_the_paths_of_a_broken_layer_are_planned_again() -> None:
    assert names(earlier("glibc-2", "python-3", "openssl-3 libapp-1", "app-1"), 5) == [
        "glibc-2",
        "python-3",
        "openssl-3",
        "libapp-2",
        "app-2",
    ]


def test_layers_before_the_first_broken_one_stay_at_the_beginning() -> None:
    """Docker shares layers from the first up, so even a layer that changes often stays there."""
    before = ["python-3", "openssl-3", "app-1 libapp-1", "glibc-2"]
    assert names(earlier(*before), 5) == ["python-3", "openssl-3", "glibc-2", "libapp-2", "app-2"]
    before.insert(0, before.pop(2))
    assert names(earlier(*before), 5) == ["glibc-2", "openssl-3", "libapp-2", "python-3", "app-2"]


def test_an_image_that_has_not_changed_keeps_its_plan() -> None:
    found = random_closure(3, 60)
    first = plan(found, max_layers=21, strategy="cost")
    again, warnings = plan_after(PinnedLayers(tuple(layer.paths for layer in first)), 20, found)
    assert [layer.paths for layer in again] == [layer.paths for layer in first]
    assert [layer.rate for layer in again] == [layer.rate for layer in first]
    assert warnings == []


def test_the_smallest_layers_are_given_up_if_there_are_too_many() -> None:
    found = closure("A→B,C,D,E", A=1, B=100, C=1, D=100, E=100)
    plans, warnings = plan_after(earlier("C", "D", "E", "B", "X"), 4, found)
    assert layers(plans) == ["B", "D", "E", "A C"]
    assert [layer.reason == KEPT for layer in plans] == [True, True, True, False]
    assert warnings == []
    assert len(names(earlier("C", "D", "E", "B", "X"), 1, found)) == 1


def test_a_path_of_several_layers_is_kept_once() -> None:
    before = earlier("glibc-2 openssl-3", "openssl-3 python-3", "python-3 python-3")
    assert names(before, 4) == ["glibc-2 openssl-3", "libapp-2", "python-3", "app-2"]


def test_empty_layers_of_the_earlier_image_do_not_count() -> None:
    assert names(earlier("", "python-3", "", "glibc-2 openssl-3"), 4)[:2] == ["python-3", "glibc-2 openssl-3"]


def test_an_image_of_which_nothing_is_left_is_planned_by_cost() -> None:
    plans, warnings = plan_after(earlier("glibc-1", "app-1 glibc-2"), 3)
    assert layers(plans) == layers(plan(CURRENT, max_layers=4, strategy="cost"))
    assert warnings == ["layering: none of the 2 layers of app.tar has only store paths of this image"]


def test_everything_is_planned_again_if_it_is_cheaper_by_the_margin() -> None:
    """The application shares a layer with python, which it would send in every update."""
    plans, warnings = plan_after(earlier("glibc-2", "openssl-3", "python-3 app-2"), 4)
    assert layers(plans) == layers(plan(CURRENT, max_layers=5, strategy="cost"))
    assert [layer.reason for layer in plans].count(KEPT) == 1
    (warning,) = warnings
    assert warning.startswith("layering: all layers are planned again, which sends 44% less in this and the next 20 ")
    assert warning.endswith(" updates than keeping 3 of 3 layers of app.tar")


def test_layers_are_kept_if_another_plan_is_only_a_little_cheaper() -> None:
    before = earlier("glibc-2 openssl-3", "python-3", "libapp-2", "app-2")
    assert layers(plan(CURRENT, max_layers=5, strategy="cost")) != names(before, 4)
    assert names(before, 4) == ["glibc-2 openssl-3", "python-3", "libapp-2", "app-2"]


def test_rates_of_the_user_count() -> None:
    """If python changes in most updates, it is worth sending the others again without it."""
    before = earlier("glibc-2 openssl-3 python-3", "libapp-2", "app-2")
    assert names(before, 4) == ["glibc-2 openssl-3 python-3", "libapp-2", "app-2"]
    known = KnownUpdates(parse_rates({"python": 1000, "*": 0.001}, "rates"))
    assert "python-3" in layers(plan_after(before, 4, known=known)[0])


def test_listed_paths_are_in_the_layers_of_the_lists() -> None:
    plans = plan(CURRENT, max_layers=6, strategy=earlier("glibc-2 openssl-3", "python-3"), lists=[["openssl"]])
    assert layers(plans) == ["glibc-2", "openssl-3", "libapp-2", "python-3", "app-2"]
    assert [layer.reason for layer in plans].index(KEPT) == 3


def test_ignored_paths_are_in_no_layer() -> None:
    plans = plan(CURRENT, max_layers=6, strategy=earlier("glibc-2 openssl-3", "python-3"), ignored=[path("glibc-2")])
    assert sorted(" ".join(layers(plans)).split()) == ["app-2", "libapp-2", "openssl-3", "python-3"]


def test_a_closure_without_paths_has_no_layers() -> None:
    assert plan_after(earlier("glibc-2"), 3, Closure.of(()))[0] == ()


def test_no_layer_for_store_paths_is_an_error() -> None:
    with pytest.raises(PlanError, match="max layers"):
        plan_after(earlier("glibc-2"), 0)


def test_layers_of_a_hostile_image_are_planned_in_time() -> None:
    """Many layers, many unknown paths, and one path in all of them."""
    unknown = tuple(StorePath.parse_base(f"{number:032d}-x") for number in range(1000))
    many = PinnedLayers(((*unknown, path("glibc-2")),) * 500 + ((path("glibc-2"),),) * 500)
    plans, _ = plan_after(many, 3)
    assert sorted(" ".join(layers(plans)).split()) == sorted(info.path.name for info in infos(GRAPH, **SIZES))
