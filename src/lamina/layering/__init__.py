"""Layering: decide which store path goes to which layer.

The last layer of an image is the customisation layer, and a base image brings layers of its own. The rest of
``max_layers`` is the budget for store paths (nixpkgs: dockerTools, the arithmetic around ``maxLayers``). A pipeline
ignores the budget and can remove paths. Layers that the user lists come first out of the budget; a strategy plans the
paths that no list takes.

Invariant: a strategy puts every path of the closure in exactly one layer and makes no more layers than its budget. The
result depends only on the graph, not on the order in which it is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping

from lamina.core.callbacks import ignore
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import InvalidArgument, PlanError
from lamina.layering.auto import auto
from lamina.layering.cost import cost
from lamina.layering.history import PastImage, arrange
from lamina.layering.known_updates import NOTHING_KNOWN, KnownUpdates, find_unmatched
from lamina.layering.layer_lists import LayerLists, ListedLayers, contract, find_listed, warn_of_unmatched
from lamina.layering.listed_order import insert_listed, rate_listed
from lamina.layering.own import LayeringFunction, plan_with
from lamina.layering.pinned import PinnedLayers, PinnedStrategy, plan_pinned
from lamina.layering.pipeline import Pipeline
from lamina.layering.plan_cache import NO_PLAN_CACHE, PlanCache
from lamina.layering.plans import LayerPlan
from lamina.layering.popularity import popularity
from lamina.layering.sharing import SharedLayering, SharingImage
from lamina.messages.redaction import short_repr

_Planner = Callable[
    [Closure, int, Collection[StorePath], Collection[StorePath], KnownUpdates, PlanCache], tuple[LayerPlan, ...]
]
"""Plans the layers of a closure from a budget, ignored paths, paths that are in layers that the user lists, what is
known of updates, and what earlier runs planned."""


def _without_listed(
    strategy: Callable[[Closure, int, Collection[StorePath]], tuple[LayerPlan, ...]],
) -> _Planner:
    """Return ``strategy``, which uses only the closure, for the closure without the listed paths."""

    def plan_rest(
        closure: Closure, budget: int, ignored: Collection[StorePath], listed: Collection[StorePath], *_: object
    ) -> tuple[LayerPlan, ...]:
        return strategy(contract(closure, listed) if listed else closure, budget, ignored)

    return plan_rest


STRATEGIES: Mapping[str, _Planner] = {
    "auto": _without_listed(auto),
    "cost": cost,
    "popularity": _without_listed(popularity),
    "shared": cost,  # of one image; `SharedLayering` plans several
}
STRATEGY_NAMES = (*STRATEGIES, "pinned:IMAGE")
"""The names of the strategies in messages."""
Strategy = str | Pipeline | LayeringFunction | PinnedLayers
"""A strategy that can plan: a name, a pipeline, a function, or the layers of an earlier image."""
Layering = str | Pipeline | LayeringFunction | PinnedStrategy
"""A strategy as the user chooses it: as `Strategy`, but the earlier image has not been read."""
DEFAULT_STRATEGY = "cost"
DEFAULT_MAX_LAYERS = 100


def plan(
    closure: Closure,
    *,
    max_layers: int = DEFAULT_MAX_LAYERS,
    strategy: Strategy = DEFAULT_STRATEGY,
    base_layers: int = 0,
    ignored: Collection[StorePath] = (),
    lists: LayerLists = (),
    known: KnownUpdates = NOTHING_KNOWN,
    cache: PlanCache = NO_PLAN_CACHE,
    warn: Callable[[str], object] = ignore,
) -> tuple[LayerPlan, ...]:
    """Distribute the paths of ``closure`` to the store layers of an image.

    Args:
        closure: the paths of the image.
        max_layers: the largest number of layers in the image, including those of the base image and the customisation
            layer. A pipeline ignores it and decides how many layers there are, as in dockerTools.
        strategy: the name of a strategy, a pipeline, the layers of an earlier image that are kept, or a function that
            plans the layers.
        base_layers: the number of layers of the base image.
        ignored: paths that go into no layer.
        lists: patterns on the names of store paths; each list becomes a layer, and the strategy plans the other paths.
        known: what is known of the image's updates; only ``cost``, ``shared`` and earlier layers use it.
        cache: what earlier runs planned; only ``cost`` and earlier layers use it, because they take long.
        warn: called with a message about paths that a pipeline, a list or a rate names, and that are not found, and
            about earlier layers that are not kept.

    Returns:
        The store layers, from the lowest up: those of the strategy, then those of the lists in their order. With
        ``cost``, with ``shared`` of one image and with earlier layers, those of the lists are among the others, by
        their rates. Every path is in one layer, except ignored paths and those that a pipeline removes.

    Raises:
        PlanError: ``max_layers`` leaves no layer for store paths.
        InvalidArgument: the strategy is unknown or cannot use what is known of updates, an operation of the pipeline
            cannot take its input, or the function puts a path into no layer or into several.
    """
    if known:
        check_uses_rates(strategy)
        warn_of_unmatched("rates", find_unmatched(known.rates, closure), closure, warn)
    listed = find_listed(closure, lists, ignored, warn) if lists else ListedLayers()
    if isinstance(strategy, Pipeline):
        return (*strategy(closure, max_layers, {*ignored, *listed.paths}, warn), *listed.plans)
    if isinstance(strategy, str) and strategy not in STRATEGIES:
        raise InvalidArgument("layering", short_repr(strategy), f"one of {', '.join(STRATEGIES)}")
    budget = _find_budget(closure, max_layers, base_layers, listed, has_lists=bool(lists))
    removed = frozenset(ignored)
    if isinstance(strategy, PinnedLayers):
        planned = plan_pinned(strategy, closure, budget, removed, listed.paths, known, warn, cache)
    elif isinstance(strategy, str):
        planned = STRATEGIES[strategy](closure, budget, removed, listed.paths, known, cache)
    else:
        rest = contract(closure, listed.paths) if listed.paths else closure
        planned = plan_with(strategy, rest, budget, removed)
    if listed.plans and _plans_by_rate(strategy):
        earlier = strategy.layers if isinstance(strategy, PinnedLayers) else ()
        return insert_listed(planned, rate_listed(listed.plans, closure, removed, known), earlier)
    return (*planned, *listed.plans)


def describe_sharing(
    closure: Closure,
    *,
    max_layers: int,
    base_layers: int = 0,
    lists: LayerLists = (),
    known: KnownUpdates = NOTHING_KNOWN,
    packing: Hashable = None,
) -> SharingImage:
    """Describe an image for `SharedLayering`, which plans it together with others.

    Args:
        closure: as in `plan`, and so are the others.
        max_layers: the largest number of layers in the image.
        base_layers: the number of layers of the base image.
        lists: patterns on the names of store paths.
        known: what is known of the image's updates.
        packing: whatever decides how paths become bytes; only images with equal values can share layers.

    Raises:
        PlanError: ``max_layers`` leaves no layer for store paths.
    """
    listed = find_listed(closure, lists, (), ignore) if lists else ListedLayers()
    budget = _find_budget(closure, max_layers, base_layers, listed, has_lists=bool(lists))
    return SharingImage(closure, budget, listed.paths, known, packing)


def _find_budget(closure: Closure, max_layers: int, base_layers: int, listed: ListedLayers, *, has_lists: bool) -> int:
    """Return how many layers there may be for the paths that no list takes. Raises `PlanError` if there are too few."""
    used = 1 + base_layers + len(listed.plans)
    if used + bool(len(closure) > len(listed.paths) or not has_lists) > max_layers:
        raise _make_layer_error(max_layers, base_layers, len(listed.plans))
    return max_layers - used


def _plans_by_rate(strategy: Strategy) -> bool:
    """Return whether ``strategy`` orders layers by their rates, apart from those of an earlier image."""
    return uses_rates(strategy) and not isinstance(strategy, SharedLayering)


def uses_rates(strategy: Strategy | PinnedStrategy) -> bool:
    """Return whether ``strategy`` uses the rates and the history."""
    return name_strategy(strategy) in ("cost", "pinned", "shared")


def check_uses_rates(strategy: Strategy | PinnedStrategy, argument: str = "rates") -> None:
    """Raise `InvalidArgument` for ``argument``, the rates or the history, if ``strategy`` does not use it."""
    if not uses_rates(strategy):
        got = f"the layering {name_strategy(strategy)}"
        raise InvalidArgument(argument, got, "cost, shared or pinned:IMAGE, which use it", hint="--layering cost")


def name_strategy(strategy: Strategy | PinnedStrategy) -> str:
    """Return the name of a strategy: its own, ``pipeline``, or ``function`` for one of the caller."""
    if isinstance(strategy, str):
        return strategy
    if isinstance(strategy, PinnedStrategy | PinnedLayers):
        return "pinned"
    if isinstance(strategy, SharedLayering):
        return "shared"
    return "pipeline" if isinstance(strategy, Pipeline) else "function"


def _make_layer_error(max_layers: int, base_layers: int, listed_layers: int) -> PlanError:
    base = f"{base_layers} of the base image, " if base_layers else ""
    listed = f"{listed_layers} that are listed, " if listed_layers else ""
    least = 2 + base_layers + listed_layers
    expected = f"at least {least} layers: {base}{listed}one for the image's root and one for store paths"
    return PlanError("max layers", max_layers, expected)


__all__ = [
    "DEFAULT_MAX_LAYERS",
    "DEFAULT_STRATEGY",
    "NOTHING_KNOWN",
    "NO_PLAN_CACHE",
    "STRATEGIES",
    "STRATEGY_NAMES",
    "KnownUpdates",
    "LayerPlan",
    "Layering",
    "LayeringFunction",
    "PastImage",
    "PinnedLayers",
    "PinnedStrategy",
    "Pipeline",
    "PlanCache",
    "SharedLayering",
    "SharingImage",
    "Strategy",
    "arrange",
    "check_uses_rates",
    "describe_sharing",
    "name_strategy",
    "plan",
    "uses_rates",
]
