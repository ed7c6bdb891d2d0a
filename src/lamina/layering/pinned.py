"""Layering after an earlier image: keep its layers, and plan only what has changed.

Definition: a layer of the earlier image is *whole* if all its paths are still wanted. An engine or a registry that has
the earlier image does not receive a whole layer again, if it has the same paths in the same order. The paths of all
other layers are planned by cost, in as many layers as are left.

Keeping layers can become expensive after many updates, so the result is compared with a plan by cost of all paths. The
expense of a plan is the number of bytes that this update sends, plus `HORIZON` times the number of bytes that a later
update sends on average. The other plan is used if its expense is less by `MARGIN`.

The layers of the earlier image up to the first that is not kept stay at the beginning, in their order, because docker's
graph drivers share layers from the first up to the first that differs. The others follow as in a plan by cost: those
that updates change least come first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.layering.cost import find_partition
from lamina.layering.known_updates import KnownUpdates
from lamina.layering.path_items import PathItems
from lamina.layering.plan_cache import NO_PLAN_CACHE, PlanCache
from lamina.layering.plans import LayerPlan
from lamina.layering.search import Group
from lamina.layering.updates import CERTAIN, Items

PINNED = "pinned:"
"""The prefix of the name of the earlier image."""
HORIZON = 20
"""The number of later updates for which a plan is compared with another."""
MARGIN = Fraction(1, 10)
"""The share by which a plan of all paths must be cheaper, so that layers that could be kept are sent again."""
KEPT = "kept from the earlier image"
"""The reason of a layer that the earlier image has too."""


@dataclass(frozen=True, slots=True)
class PinnedStrategy:
    """The strategy ``pinned`` before the earlier image is read.

    Attributes:
        image: the earlier image: an image file, an OCI layout, or a reference.
    """

    image: str

    def __str__(self) -> str:
        return f"{PINNED}{self.image}"


@dataclass(frozen=True, slots=True)
class PinnedLayers:
    """The strategy ``pinned``, with the layers of an earlier image.

    Attributes:
        layers: the store paths of each layer in packing order, from the lowest layer up.
        image: the name of the image in messages.
    """

    layers: tuple[tuple[StorePath, ...], ...]
    image: str = "the earlier image"


@dataclass(frozen=True, slots=True)
class _WholeLayer:
    """A layer of the earlier image that can be kept: its position there, and its items in packing order."""

    position: int
    order: tuple[int, ...]


_WholeLayers = Mapping[tuple[int, ...], _WholeLayer]
"""The layers that can be kept, by their items in ascending order."""


def plan_pinned(
    earlier: PinnedLayers,
    closure: Closure,
    budget: int,
    ignored: Collection[StorePath],
    listed: Collection[StorePath],
    known: KnownUpdates,
    warn: Callable[[str], object],
    cache: PlanCache = NO_PLAN_CACHE,
) -> tuple[LayerPlan, ...]:
    """Plan at most ``budget`` layers, and keep those of an earlier image if that is not too expensive.

    Args:
        earlier: the layers of the earlier image. Those of no path or of listed paths alone are left out; a path counts
            in the first whole layer.
        closure: the paths of the image.
        budget: the maximum number of layers.
        ignored: paths that go into no layer, as for `cost`.
        listed: paths that are in other layers, as for `cost`.
        known: what is known of the image's updates.
        warn: called with a message if no layer can be kept, or if all layers are planned again.
        cache: the divisions that earlier runs found.

    Returns:
        The layers, from the lowest up. The reason of a layer that the earlier image has too is `KEPT`.
    """
    paths = PathItems.of(closure, ignored, listed, known)
    layers = [layer for layer in earlier.layers if not frozenset(listed).issuperset(layer)]
    whole = _find_whole(layers, paths)
    if not whole:
        if layers and len(paths.items):
            warn(f"layering: none of the {len(layers)} layers of {earlier.image} has only store paths of this image")
        groups = _make_groups(paths.items, find_partition(paths.items, budget, cache))
    else:
        groups = _keep_whole(paths.items, whole, budget, cache)
        if fresh := _plan_again(paths.items, budget, whole, groups, cache):
            saved = 1 - _find_expense(fresh, whole) / _find_expense(groups, whole)
            kept = sum(group.members in whole for group in groups)
            warn(
                f"layering: all layers are planned again, which sends {saved:.0%} less in this and the next {HORIZON} "
                f"updates than keeping {kept} of {len(layers)} layers of {earlier.image}"
            )
            groups = fresh
    return tuple(_plan(paths, group, whole) for group in _sort(paths, groups, whole))


def _find_whole(layers: Sequence[Sequence[StorePath]], paths: PathItems) -> _WholeLayers:
    """Return the layers of which all paths are items. A path that several layers have is in the first of them."""
    numbers = {info.path: number for number, info in enumerate(paths.infos)}
    taken: set[int] = set()
    whole: dict[tuple[int, ...], _WholeLayer] = {}
    for position, layer in enumerate(layers):
        order = tuple(dict.fromkeys(numbers.get(path, -1) for path in layer))
        if -1 not in order and taken.isdisjoint(order):
            taken.update(order)
            whole[tuple(sorted(order))] = _WholeLayer(position, order)
    return whole


def _keep_whole(items: Items, whole: _WholeLayers, budget: int, cache: PlanCache) -> list[Group]:
    """Return the whole layers, and a plan by cost of all other items; if there are too many, give up the smallest."""
    kept = sorted(_make_groups(items, whole), key=lambda group: (-group.size, group.members))
    while len(kept) + (sum(len(group.members) for group in kept) < len(items)) > budget:
        kept.pop()
    taken = {number for group in kept for number in group.members}
    rest = [number for number in range(len(items)) if number not in taken]
    parts = find_partition(items.select(rest), budget - len(kept), cache) if rest else ()
    return [*kept, *_make_groups(items, ([rest[number] for number in part] for part in parts))]


def _plan_again(
    items: Items, budget: int, whole: _WholeLayers, pinned: Collection[Group], cache: PlanCache
) -> list[Group]:
    """Return a plan by cost of all items; none if it is not cheaper than ``pinned`` by `MARGIN`."""
    limit = (1 - MARGIN) * _find_expense(pinned, whole)
    # With a layer for each item, later updates send least. So no other plan has to be made if even that is too much.
    if _find_least_expense(items, whole) >= limit:
        return []
    fresh = _make_groups(items, find_partition(items, budget, cache))
    return fresh if _find_expense(fresh, whole) < limit else []


def _make_groups(items: Items, parts: Iterable[Sequence[int]]) -> list[Group]:
    return [Group.of(items, part) for part in parts]


def _find_expense(groups: Iterable[Group], whole: _WholeLayers) -> int:
    """Return the bytes that are sent now and by `HORIZON` later updates, in units of 1 / `CERTAIN`."""
    return sum(HORIZON * group.cost + (0 if group.members in whole else group.size * CERTAIN) for group in groups)


def _find_least_expense(items: Items, whole: _WholeLayers) -> int:
    """Return an expense that no plan can be below: whole layers are not sent, and each item changes alone."""
    kept = frozenset(number for members in whole for number in members)
    return sum(
        size * (HORIZON * items.probability(number) + (0 if number in kept else CERTAIN))
        for number, size in enumerate(items.sizes)
    )


def _sort(paths: PathItems, groups: Iterable[Group], whole: _WholeLayers) -> list[Group]:
    """Return ``groups`` in the order of the layers."""
    by_position = {whole[group.members].position: group for group in groups if group.members in whole}
    first = next(position for position in range(len(by_position) + 1) if position not in by_position)
    beginning = [by_position[position] for position in range(first)]
    unchanged = {group.members for group in beginning}
    return beginning + paths.sort(group for group in groups if group.members not in unchanged)


def _plan(paths: PathItems, group: Group, whole: _WholeLayers) -> LayerPlan:
    """Return the layer of ``group``, in the packing order of the earlier image if that has it."""
    if group.members not in whole:
        return paths.plan(group)
    order = whole[group.members].order
    return replace(LayerPlan.of((paths.infos[number] for number in order), KEPT), rate=paths.rate(group))
