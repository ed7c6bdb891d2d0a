"""The update model: probabilities of changes, from small closures where they can be computed by hand."""

import pytest
from tests.support.factories import closure

from lamina.core.closure import Closure
from lamina.layering.updates import CERTAIN, PATHS_PER_UPDATE, ROOT_UPDATES, Items, as_share


def make_items(found: Closure, **rates: int) -> tuple[Items, list[str]]:
    order = list(range(len(found)))
    names = [info.path.name for info in found]
    return Items.of(found, order, [rates.get(name, 1) for name in names]), names


def test_a_root_changes_in_every_update_if_it_needs_everything() -> None:
    items, names = make_items(closure("A→B,C B→D"))
    assert as_share(items.probability(names.index("A"))) == pytest.approx(1, abs=0.0001)


def test_a_path_changes_when_anything_below_it_changes() -> None:
    """With k paths per update and r of T rates below a path, kr/(T+(k-1)r) of the updates of no root change it."""
    items, names = make_items(closure("A→B,C B→D"))
    for name, below in (("D", 1), ("C", 1), ("B", 2)):
        share = PATHS_PER_UPDATE * below / (4 + (PATHS_PER_UPDATE - 1) * below)
        expected = (100 - ROOT_UPDATES) * share
        assert 100 * as_share(items.probability(names.index(name))) == pytest.approx(expected, abs=0.01)


def test_a_path_of_a_higher_rate_changes_more_often() -> None:
    items, names = make_items(closure("A→B,C"), B=3)
    assert items.probability(names.index("B")) > items.probability(names.index("C"))


def test_only_proportions_of_rates_matter() -> None:
    found = closure("A→B,C B→D")
    assert make_items(found)[0] == make_items(found, A=4, B=4, C=4, D=4)[0]


def test_roots_share_the_updates_of_the_application() -> None:
    items, names = make_items(closure("A→C B→C"))
    extras = dict(zip(names, items.extras, strict=True))
    assert extras["A"] == extras["B"] > 0 == extras["C"]
    assert 100 * as_share(extras["A"]) == pytest.approx(ROOT_UPDATES / 2, abs=0.01)


def test_merged_items_have_the_union_of_closures_and_the_sum_of_sizes() -> None:
    items, names = make_items(closure("A→B,C B→D C→D", B=10, C=20, D=5))
    merged = items.merge([[names.index("B"), names.index("C")], [names.index("D")], [names.index("A")]])
    assert list(merged.sizes) == [30, 5, 1]
    assert [mask.bit_count() for mask in merged.masks] == [3, 1, 4]


def test_selected_items_keep_their_probabilities() -> None:
    items, _ = make_items(closure("A→B,C B→D"))
    part = items.select([2, 0])
    assert [part.probability(0), part.probability(1)] == [items.probability(2), items.probability(0)]


def test_a_share_is_at_most_1() -> None:
    assert [as_share(value) for value in (0, CERTAIN // 2, CERTAIN, 2 * CERTAIN)] == [0, 0.5, 1, 1]
