"""Layering by cost: the plan that sends the fewest bytes again when the image is updated.

Definition: the cost of a layer is its size times the probability that an update changes one of its paths, by the model
of `lamina.layering.updates`. The plan has the least total cost that was found. One layer for each path costs least, so
the question is which paths share a layer when there are more paths than layers.

Groups are merged greedily, and then improved by a local search. If there are many paths, those that are cheapest to
merge are first joined into fewer items, and single paths move between the layers at the end. Layers that rarely change
come first, because engines share layers from the first up to the first that differs.

Invariant: the plan depends on names, sizes and references, and on hashes only to order paths of the same name. A new
version of which only the hashes differ is divided in the same way.
"""

from __future__ import annotations

from collections.abc import Collection

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.layering.known_updates import NOTHING_KNOWN, KnownUpdates
from lamina.layering.merging import coarsen, merge_greedily
from lamina.layering.path_items import PathItems
from lamina.layering.plan_cache import NO_PLAN_CACHE, Groups, PlanCache, dump_groups, make_plan_key, parse_groups
from lamina.layering.plans import LayerPlan
from lamina.layering.regrouping import regroup
from lamina.layering.search import Group, improve, move_single_items
from lamina.layering.updates import Items

ALGORITHM = 1
"""The version of the algorithm. It is increased whenever `partition` would divide some items in another way."""

# The number of items above which the time would exceed a second or two.
_MAX_ITEMS = 600
# How often single paths are moved at the end, if paths were joined.
_MAX_ROUNDS = 6


def cost(
    closure: Closure,
    budget: int,
    ignored: Collection[StorePath],
    listed: Collection[StorePath] = (),
    known: KnownUpdates = NOTHING_KNOWN,
    cache: PlanCache = NO_PLAN_CACHE,
) -> tuple[LayerPlan, ...]:
    """Plan at most ``budget`` layers that cost little to update.

    Args:
        closure: the paths of the image.
        budget: the maximum number of layers.
        ignored: paths that go into no layer. They are removed from the graph first, so that paths that only they need
            count as roots.
        listed: paths that are in other layers. A change of one of them also changes what refers to it.
        known: what is known of the image's updates.
        cache: the divisions that earlier runs found.

    Returns:
        The layers, those that updates change least first.
    """
    paths = PathItems.of(closure, ignored, listed, known)
    groups = [Group.of(paths.items, members) for members in find_partition(paths.items, budget, cache)]
    return tuple(map(paths.plan, paths.sort(groups)))


def find_partition(items: Items, budget: int, cache: PlanCache) -> Groups:
    """Return the groups of `partition`, from ``cache`` if an earlier run found them."""
    if len(items) <= budget:
        return partition(items, budget)
    key = make_plan_key(items, budget, ALGORITHM)
    known = cache.get_plan(key)
    if known is not None and (groups := parse_groups(known, len(items), budget)):
        return groups
    groups = partition(items, budget)
    cache.put_plan(key, dump_groups(groups))
    return groups


def partition(items: Items, budget: int, max_items: int = _MAX_ITEMS) -> Groups:
    """Divide items into groups, so that the sum of size × probability is small.

    Args:
        items: the items.
        budget: the maximum number of groups.
        max_items: more items than this are joined into so many at first.

    Returns:
        The groups, as lists of item numbers, in no particular order.
    """
    if len(items) <= budget:
        return [[number] for number in range(len(items))]
    if len(items) <= max_items:
        return _partition_all(items, budget)
    if budget >= max_items:
        return coarsen(items, budget)  # far more layers than engines accept: no time is spent on a better plan
    parts = coarsen(items, max(max_items, 2 * budget))
    groups = _partition_all(items.merge(parts), budget)
    joined = [[number for part in group for number in parts[part]] for group in groups]
    return move_single_items(items, joined, _MAX_ROUNDS)


def _partition_all(items: Items, budget: int) -> Groups:
    return regroup(items, improve(items, merge_greedily(items, budget), budget), budget)
