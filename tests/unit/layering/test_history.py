"""Learning the updates of packages from earlier images."""

import hashlib
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from tests.support.factories import closure, path

from lamina.core.names import StorePath, dump_nix32
from lamina.layering.history import ObservedUpdates, PastImage, PathSets, arrange
from lamina.layering.updates import DEFAULT_STATISTICS, UpdateStatistics

# The last version of an image, whose references are known.
CURRENT = closure("app-9→lib-9,data-9 lib-9→base-9 tool-9→base-9 app-9→tool-9")
NAMES = ("app-9", "lib-9", "data-9", "base-9", "tool-9")
ROOT = path("app-9")


def version(*changed: str) -> frozenset[StorePath]:
    """Return the paths of a version of the image.

    Each of ``changed`` is ``NAME`` for other contents of the same version, or ``NAME-VERSION``.
    """
    found = {name.partition("-")[0]: path(name) for name in NAMES}
    for text in changed:
        name, _, number = text.partition("-")
        salted = hashlib.sha256(f"old {text}".encode()).digest()[:20]
        found[name] = StorePath.parse_base(f"{dump_nix32(salted)}-{name}-{number or '9'}")
    return frozenset(found.values())


def observe(*images: frozenset[StorePath]) -> ObservedUpdates:
    return ObservedUpdates.of(CURRENT, [images])


def list_own(observed: ObservedUpdates) -> dict[str, int]:
    return {name: count for (name, _), count in observed.changed.items()}


def test_a_hash_that_changed_with_nothing_below_it_is_a_change_of_its_own() -> None:
    observed = observe(version("base", "lib", "tool", "app"))
    assert list_own(observed) == {"base": 1}
    assert (observed.root_updates, observed.others, observed.changes) == (0, 1, 1)


def test_another_version_is_a_change_of_its_own_even_if_something_below_it_changed() -> None:
    observed = observe(version("base", "lib-8", "tool", "app"))
    assert list_own(observed) == {"base": 1, "lib": 1}


def test_a_path_that_an_old_image_lacks_does_not_hide_what_is_below_it() -> None:
    old = frozenset(each for each in version("base", "app") if each.package not in ("lib", "tool"))
    observed = observe(old)
    assert list_own(observed) == {"base": 1}
    assert {name for name, _ in observed.seen} == {"app", "data", "base"}


def test_an_update_of_roots_alone_counts_as_such() -> None:
    observed = observe(version("app-7"), version("app"))
    assert (observed.root_updates, observed.others) == (2, 0)
    assert not observed.changed


def test_images_with_the_same_paths_are_no_update() -> None:
    assert observe(version(), version(), version()) == ObservedUpdates(0, 0, 0, {}, {})


def test_the_image_that_is_planned_may_be_in_the_history_already() -> None:
    images = version("data-7", "app-7"), version("data", "app")
    assert observe(*images) == observe(*images, version())


def test_packages_that_the_closure_lacks_say_nothing() -> None:
    first, second = (frozenset([path(f"other-{number}")]) for number in "12")
    assert observe(first, second).others == 0


def test_outputs_are_packages_of_their_own() -> None:
    current = closure("app-1→ssl-2,ssl-2-bin")
    old = [path(name) for name in ("app-1", "ssl-2")] + [path("ssl-1-bin")]
    observed = ObservedUpdates.of(current, [(frozenset(old),)])
    assert observed.changed == {("ssl", "bin"): 1}


def test_two_versions_of_a_package_in_one_image_change_together() -> None:
    current = closure("app-1→ssl-3,ssl-1")
    observed = ObservedUpdates.of(current, [(frozenset(map(path, ("app-1", "ssl-2", "ssl-1"))),)])
    assert observed.changed == {("ssl", ""): 1}


@pytest.mark.parametrize(
    ("changes", "updates", "expected"),
    [
        (0, 0, Fraction(1, 50)),
        (0, 50, Fraction(1, 100)),
        (1, 50, Fraction(2, 100)),
        (50, 50, Fraction(51, 100)),
    ],
)
def test_a_rate_is_between_its_default_and_what_was_observed(changes: int, updates: int, expected: Fraction) -> None:
    """The mean of the posterior is (c + 1) / (n + 1 / default)."""
    package = ("lib", "")
    observed = ObservedUpdates(0, updates, changes, {package: changes}, {package: updates})
    assert observed.estimate(path("lib-9"), Fraction(1, 50)) == expected


def test_without_updates_the_statistics_are_the_defaults() -> None:
    assert observe(version()).statistics == DEFAULT_STATISTICS


def test_the_statistics_follow_what_was_observed() -> None:
    statistics = ObservedUpdates(95, 0, 0, {}, {}).statistics
    assert statistics == UpdateStatistics(Fraction(98, 100), Fraction(3))
    statistics = ObservedUpdates(0, 8, 84, {}, {}).statistics
    assert statistics == UpdateStatistics(Fraction(3, 13), Fraction(9))


# --- the order of images


def image(
    number: int, *, year: int | None = None, name: str = "app", platform: str = "linux/amd64", is_empty: bool = False
) -> PastImage:
    created = datetime(year, 1, 1, tzinfo=UTC) if year else None
    return PastImage(name, platform, created, frozenset() if is_empty else frozenset([path(f"app-{number}")]))


def list_versions(arranged: tuple[PathSets, ...]) -> list[str]:
    return [" ".join(next(iter(paths)).name for paths in images) for images in arranged]


def test_images_are_in_the_order_of_their_creation() -> None:
    assert list_versions(arrange([image(2, year=2022), image(1, year=2021), image(3, year=2023)])) == [
        "app-1 app-2 app-3"
    ]


def test_images_of_one_date_or_without_one_keep_their_order() -> None:
    assert list_versions(arrange([image(2, year=1970), image(1, year=1970), image(3)])) == ["app-3 app-2 app-1"]


def test_only_images_of_one_name_are_compared() -> None:
    images = [image(1), image(5, name="db"), image(2), image(6, name="db")]
    assert list_versions(arrange(images)) == ["app-1 app-2", "app-5 app-6"]


def test_the_most_frequent_platform_counts() -> None:
    images = [image(1, platform="linux/arm64"), image(2), image(3)]
    assert list_versions(arrange(images)) == ["app-2 app-3"]


def test_images_without_store_paths_are_left_out() -> None:
    assert list_versions(arrange([image(1), image(2, is_empty=True)])) == ["app-1"]
    assert arrange([image(1, is_empty=True)]) == ()
