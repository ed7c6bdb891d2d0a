"""The order of layers that the user lists among layers that a strategy plans by rate.

An engine shares layers from the first up to the first that differs. So a listed layer lies below the planned layers
that change more often. If layers of an earlier image are kept, the listed ones among the first of them stay too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.layering.known_updates import KnownUpdates
from lamina.layering.path_items import PathItems
from lamina.layering.plans import LayerPlan
from lamina.layering.search import Group


def rate_listed(
    listed: Iterable[LayerPlan], closure: Closure, ignored: Collection[StorePath], known: KnownUpdates
) -> tuple[LayerPlan, ...]:
    """Return the layers of the lists with their rates.

    Args:
        listed: the layers of the lists.
        closure: the paths of the image.
        ignored: paths that go into no layer.
        known: what is known of the image's updates.
    """
    paths = PathItems.of(closure, ignored, (), known)
    numbers = {info.path: number for number, info in enumerate(paths.infos)}
    groups = [(plan, Group.of(paths.items, (numbers[path] for path in plan.paths))) for plan in listed]
    return tuple(replace(plan, rate=paths.rate(group)) for plan, group in groups)


def insert_listed(
    planned: Sequence[LayerPlan], listed: Sequence[LayerPlan], earlier: Iterable[tuple[StorePath, ...]] = ()
) -> tuple[LayerPlan, ...]:
    """Put each listed layer below the first layer that updates change more often.

    Args:
        planned: the layers of the strategy, with rates; they keep their order.
        listed: the layers of the lists, with rates. Those of the same rate keep their order.
        earlier: the store paths of each layer of an earlier image. As long as the layers are the same, their order is.

    Returns:
        All layers, from the lowest up.
    """
    beginning: list[LayerPlan] = []
    rest, waiting = list(planned), list(listed)
    for paths in filter(None, earlier):
        same = next((plan for plan in (*rest[:1], *waiting) if plan.paths == paths), None)
        if same is None:
            break
        beginning.append(same)
        (waiting if same in waiting else rest).remove(same)
    for plan in waiting:
        above = (index for index, other in enumerate(rest) if _is_less(plan.rate, other.rate))
        rest.insert(next(above, len(rest)), plan)
    return (*beginning, *rest)


def _is_less(rate: float | None, other: float | None) -> bool:
    return rate is not None and other is not None and rate < other
