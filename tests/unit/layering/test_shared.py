"""Layering of several images together."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from tests.support.factories import closure, info, infos, layers, path
from tests.support.fleets import random_fleet

from lamina.core.closure import Closure
from lamina.core.names import Digest
from lamina.layering import KnownUpdates, LayerPlan, SharedLayering, SharingImage, describe_sharing, plan
from lamina.layering.cost import cost
from lamina.layering.shared import plan_together

Plans = Sequence[LayerPlan]


def together(closures: Sequence[Closure], budget: int) -> list[Plans]:
    images = [SharingImage(each, budget) for each in closures]
    found = plan_together(frozenset(images))
    return [found[image] for image in images]


def alone(closures: Sequence[Closure], budget: int) -> list[Plans]:
    return [cost(each, budget, ()) for each in closures]


def count_stored(plans: Collection[Plans]) -> int:
    return sum({layer.paths: layer.nar_size for each in plans for layer in each}.values())


# Two applications with the same three libraries, and 40 bytes of their own.
WEB = closure("WEB→A,B,W A→C B→C", WEB=10, W=30, A=100, B=200, C=300)
API = closure("API→A,B,Q A→C B→C", API=10, Q=30, A=100, B=200, C=300)


def test_what_images_have_in_common_is_in_layers_that_they_share() -> None:
    web, api = together([WEB, API], 3)
    assert layers(web) == ["C", "A B", "W WEB"]
    assert layers(api) == ["C", "A B", "API Q"]
    assert web[:2] == api[:2]
    assert [layer.reason for layer in web] == [
        "costs least alone, in 2 images",
        "cost least together, in 2 images",
        "cost least together",
    ]
    assert count_stored([web, api]) == 680


def test_rates_are_shares_of_updates_and_rise_among_the_layers_of_as_many_images() -> None:
    (web, _) = together([WEB, API], 5)
    assert layers(web)[-2:] == ["W", "WEB"]
    rates = [layer.rate or 0 for layer in web]
    assert rates[:-2] == sorted(rates[:-2])
    assert all(0 < rate <= 1 for rate in rates)


def test_a_plan_for_one_image_is_that_of_cost() -> None:
    (found,) = random_fleet(3, 40, 1)
    for budget in (1, 4, 20):
        assert together([found], budget) == alone([found], budget)
        assert plan(found, max_layers=budget + 1, strategy="shared") == tuple(cost(found, budget, ()))


def test_images_without_common_paths_have_the_plans_of_cost() -> None:
    closures = [closure("A→B B→C A→D", A=9, B=50, C=60, D=7), closure("E→F,G F→G G→H", E=4, F=30, G=5, H=90)]
    for budget in (1, 2, 3):
        assert together(closures, budget) == alone(closures, budget)


def test_equal_images_have_equal_layers() -> None:
    assert together([WEB, Closure(WEB.infos)], 2) == alone([WEB, WEB], 2)


def test_an_image_inside_another_shares_its_layers() -> None:
    inner = Closure.of(infos("A→C B→C", A=100, B=200, C=300))
    web, found = together([WEB, inner], 20)
    assert set(layers(found)) < set(layers(web))


def test_images_whose_paths_become_other_bytes_are_planned_apart() -> None:
    images = [SharingImage(WEB, 3, packing=1), SharingImage(API, 3, packing=2)]
    found = plan_together(frozenset(images))
    assert [found[image] for image in images] == alone([WEB, API], 3)


def test_images_whose_stores_contradict_each_other_are_planned_apart() -> None:
    other = Closure.of(
        replace(each, nar_hash=Digest(bytes(32))) if each.path == path("A") else each for each in API.infos
    )
    assert together([WEB, other], 3) == alone([WEB, other], 3)


def test_an_image_may_connect_images_that_contradict_each_other() -> None:
    first, second = closure("A→X B"), Closure.of([info("A"), info("C")])
    third = closure("B→Y C")
    found = together([first, second, third], 2)
    for each, plans in zip([first, second, third], found, strict=True):
        assert sorted(layer for plan in plans for layer in plan.paths) == sorted(each.numbers)


def test_listed_paths_are_in_no_layer_of_the_image_that_lists_them() -> None:
    listing = describe_sharing(WEB, max_layers=4, lists=(("B",),))
    assert (listing.budget, listing.listed) == (2, frozenset([path("B")]))
    found = plan_together(frozenset([listing, SharingImage(API, 3)]))
    assert sorted(" ".join(layers(found[listing])).split()) == ["A", "C", "W", "WEB"]
    planned = plan(WEB, max_layers=4, lists=(("B",),), strategy=SharedLayering(listing, frozenset(found)))
    assert layers(planned)[-1] == "B"
    assert planned[:-1] == found[listing]


def test_rates_of_the_user_count() -> None:
    known = KnownUpdates(rates=(("B", Fraction(500)),))
    plans = plan_together(frozenset(SharingImage(each, 4, known=known) for each in (WEB, API)))
    assert all("B" in layers(each) for each in plans.values())


def test_paths_that_only_the_root_refers_to_get_a_layer_of_their_own() -> None:
    image = SharingImage(WEB, 3)
    others = frozenset([SharingImage(API, 3)])
    built = Closure.of([*WEB.infos, info("bash", size=5)])
    planned = plan(built, max_layers=5, strategy=SharedLayering(image, others))
    assert layers(planned) == ["C", "A B", "W WEB", "bash"]
    assert planned[-1].reason == "found in the root"
    crowded = plan(built, max_layers=4, strategy=SharedLayering(image, others))
    assert layers(crowded) == ["C", "A B", "W WEB bash"]


def test_paths_that_the_built_image_lacks_are_left_out() -> None:
    image = SharingImage(Closure.of([*WEB.infos, info("bash", size=5)]), 9)
    planned = plan(WEB, max_layers=10, strategy=SharedLayering(image, frozenset([SharingImage(API, 9)])))
    assert sorted(" ".join(layers(planned)).split()) == sorted(each.path.name for each in WEB)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("budget", [1, 2, 3, 10, 25])
def test_each_image_has_its_own_paths_once_and_no_more_layers_than_it_may(seed: int, budget: int) -> None:
    closures = random_fleet(seed, 80, 4)
    planned = together(closures, budget)
    for each, plans in zip(closures, planned, strict=True):
        assert sorted(name for plan in plans for name in plan.paths) == sorted(each.numbers)
        assert len(plans) <= budget
    assert count_stored(planned) <= count_stored(alone(closures, budget))


def test_images_may_have_different_numbers_of_layers() -> None:
    images = [SharingImage(each, budget) for budget, each in enumerate(random_fleet(5, 80, 4), 1)]
    found = plan_together(frozenset(images))
    assert all(len(found[image]) <= image.budget for image in images)


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_the_images_makes_no_difference(seed: int) -> None:
    closures = random_fleet(seed, 60, 4)
    images = [SharingImage(each, 6) for each in closures]
    expected = plan_together(frozenset(images))
    plan_together.cache_clear()
    random.Random(seed).shuffle(images)
    copies: Mapping[SharingImage, object] = plan_together(frozenset(images))
    assert copies == expected


def test_many_images_are_joined_before_they_are_planned() -> None:
    closures = random_fleet(1, 1500, 6, roots=400)
    assert len({name for each in closures for name in each.numbers}) > 600
    planned = together(closures, 40)
    assert all(len(plans) <= 40 for plans in planned)
    assert count_stored(planned) < count_stored(alone(closures, 40))
