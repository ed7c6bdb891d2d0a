"""Layering of several images together: paths that several images contain are in layers that several images have.

Definition: the cost of all plans is the number of bytes that a registry stores, where a layer that several images have
is stored once, and the bytes that `lamina.layering.shared_merging.UPDATES` updates of each image send. The probability
that an update changes a layer is that of `lamina.layering.updates` for the union of the closures, with as many changes
that an image of mean size has as many as it has alone.

Groups are merged greedily, and then improved by the local search of `cost`, which moves paths between layers of the
same images.

Invariant: an image's layers have each of its paths once and no other path. The plans do not depend on the order of the
images. An image that shares no path with another one has the plan of `cost`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.layering.cost import cost
from lamina.layering.known_updates import KnownUpdates
from lamina.layering.plans import LayerPlan
from lamina.layering.regrouping import regroup
from lamina.layering.search import improve
from lamina.layering.shared_merging import LayerCounts, SharedGroup, merge_across, merge_inside
from lamina.layering.sharing import SharingImage
from lamina.layering.updates import Items, as_share

# With fewer layers, dividing shared paths between images can cost more than it saves, so the plans are compared.
_FEW_LAYERS = 16
# The number of groups above which only groups of the same images are merged.
_MAX_GROUPS = 600


@lru_cache(maxsize=4)
def plan_together(images: frozenset[SharingImage]) -> Mapping[SharingImage, tuple[LayerPlan, ...]]:
    """Plan the layers of several images, so that a registry stores few bytes for all of them.

    Args:
        images: the images. Equal ones are one, because they have the same layers.

    Returns:
        The layers of each image: those of the most images first, and of these the ones that updates change least.
    """
    plans: dict[SharingImage, tuple[LayerPlan, ...]] = {}
    for group in _find_sharing(images):
        found = _SharedPlan(group).plan() if len(group) > 1 else {}
        if not found or min(image.budget for image in group) < _FEW_LAYERS:
            alone = {image: cost(image.closure, image.budget, (), image.listed, image.known) for image in group}
            found = found if found and _add_up(found) <= _add_up(alone) else alone
        plans |= found
    return plans


def _add_up(plans: Mapping[SharingImage, Iterable[LayerPlan]]) -> int:
    """Return the sizes of all different layers together."""
    return sum({layer.paths: layer.nar_size for layers in plans.values() for layer in layers}.values())


def _find_sharing(images: Iterable[SharingImage]) -> Sequence[Sequence[SharingImage]]:
    """Return groups of images that have paths in common, directly or through others.

    An image whose store describes a path in another way than the images before it is in another group.
    """
    groups: list[_Group] = []
    for image in sorted(images, key=_sort_key):
        group = _Group({info.path: info for info in image.closure}, [image])
        apart = [other for other in groups if not group.join(other)]
        groups = [*apart, group]
    return [sorted(group.images, key=_sort_key) for group in groups]


@dataclass(frozen=True, slots=True)
class _Group:
    """Images that share paths, and all paths of them."""

    infos: dict[StorePath, PathInfo]
    images: list[SharingImage]

    def join(self, other: _Group) -> bool:
        """Add the images of ``other`` if they can share layers with those of this group; return whether they can."""
        common = self.infos.keys() & other.infos.keys()
        is_equal = self.images[0].packing == other.images[0].packing
        if not common or not is_equal or any(self.infos[path] != other.infos[path] for path in common):
            return False
        self.infos.update(other.infos)
        self.images.extend(other.images)
        return True


def _sort_key(image: SharingImage) -> tuple[object, ...]:
    paths = tuple(info.path for info in image.closure)
    history = tuple(tuple(sorted(found) for found in sets) for sets in image.known.history)
    return paths, tuple(sorted(image.listed)), image.budget, repr(image.packing), image.known.rates, history


class _SharedPlan:
    """The plan of images that have paths in common."""

    def __init__(self, images: Sequence[SharingImage]) -> None:
        self._images = images
        union = Closure.of({info.path: info for image in images for info in image.closure}.values())
        infos = sorted(union, key=lambda info: (info.path.name, info.path.hash))
        packed = [image.packed for image in images]
        containing = [sum(1 << index for index, paths in enumerate(packed) if info.path in paths) for info in infos]
        numbers = [number for number, found in enumerate(containing) if found]
        self._infos = [infos[number] for number in numbers]
        self._containing = [containing[number] for number in numbers]
        self._items = make_items(images, union, infos).select(numbers)

    def plan(self) -> Mapping[SharingImage, tuple[LayerPlan, ...]]:
        """Return the layers of each image."""
        groups = sorted(self._partition(), key=self._order)
        plans = [(group.images, self._make_layer(group)) for group in groups]
        return {
            image: tuple(plan for images, plan in plans if images >> index & 1)
            for index, image in enumerate(self._images)
        }

    def _partition(self) -> Sequence[SharedGroup]:
        items = self._items
        budgets = [image.budget for image in self._images]
        groups: Sequence[SharedGroup] = [SharedGroup((number,), found) for number, found in enumerate(self._containing)]
        groups = merge_inside(items, groups, budgets, _MAX_GROUPS)
        groups = merge_across(items, groups, budgets)
        return _improve_inside(items, groups, budgets)

    def _order(self, group: SharedGroup) -> tuple[int, int, tuple[int, ...]]:
        return -group.images.bit_count(), self._probability(group), group.members

    def _probability(self, group: SharedGroup) -> int:
        return self._items.merge([group.members]).probability(0)

    def _make_layer(self, group: SharedGroup) -> LayerPlan:
        reason = "costs least alone" if len(group.members) == 1 else "cost least together"
        shared = group.images.bit_count()
        return LayerPlan.of(
            (self._infos[member] for member in group.members),
            f"{reason}, in {shared} images" if shared > 1 else reason,
            as_share(self._probability(group)),
        )


def make_items(images: Sequence[SharingImage], union: Closure, infos: Sequence[PathInfo]) -> Items:
    """Make an item of each path of several images.

    Args:
        images: the images.
        union: the paths of all of them.
        infos: the same paths in the order that the items shall have.
    """
    known = KnownUpdates(
        tuple(dict.fromkeys(rate for image in images for rate in image.known.rates)),
        tuple(dict.fromkeys(paths for image in images for paths in image.known.history)),
    )
    rates, statistics = known.estimate(union)
    total = sum(rates)
    mean = Fraction(sum(rates[union.numbers[info.path]] for image in images for info in image.closure), len(images))
    numbers = [union.numbers[info.path] for info in infos]
    together = replace(statistics, paths_per_update=statistics.paths_per_update * total / mean)
    extras: dict[StorePath, int] = {}
    for image in images:
        closure = image.closure
        roots = [info.path for number, info in enumerate(closure) if not closure.referrers[number]]
        extra = statistics.root_probability(len(roots))
        extras |= {path: max(extra, extras.get(path, 0)) for path in roots}
    items = Items.of(union, numbers, rates, together)
    return replace(items, extras=[extras.get(info.path, 0) for info in infos])


def _improve_inside(items: Items, groups: Iterable[SharedGroup], budgets: Sequence[int]) -> Sequence[SharedGroup]:
    """Move items between the groups of the same images, and split groups where all their images may have more."""
    counts = LayerCounts(budgets, groups := list(groups))
    by_images: dict[int, list[SharedGroup]] = {}
    for group in groups:
        by_images.setdefault(group.images, []).append(group)
    found: list[SharedGroup] = []
    for images, members in sorted(by_images.items(), key=lambda item: (-item[0].bit_count(), item[0])):
        parts = _divide(items, [group.members for group in members], len(members) + counts.spare(images))
        counts.add(images, len(parts) - len(members))
        found += [SharedGroup(part, images) for part in parts]
    return found


def _divide(items: Items, groups: Sequence[Sequence[int]], budget: int) -> Sequence[tuple[int, ...]]:
    numbers = sorted(number for group in groups for number in group)
    if len(numbers) <= budget:
        return [(number,) for number in numbers]
    part = items.select(numbers)
    positions = {number: position for position, number in enumerate(numbers)}
    start = [[positions[number] for number in group] for group in groups]
    found = regroup(part, improve(part, start, budget), budget)
    return [tuple(sorted(numbers[position] for position in group)) for group in found]
