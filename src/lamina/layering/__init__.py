"""Layering: which store path goes to which layer.

Invariant: pure, and a plan is a partition of the closure within its budget that depends on the graph alone, never
on the order in which it was handed in. A pipeline keeps no budget, and loses the paths that it is told to remove.

The last layer of an image is the customisation layer; a base image brings its own. What is left of ``max_layers``
is for store paths (nixpkgs: dockerTools, the arithmetic around ``maxLayers``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import InvalidArgument, PlanError
from lamina.layering.auto import auto
from lamina.layering.pipeline import Pipeline
from lamina.layering.plans import LayerPlan
from lamina.layering.popularity import popularity
from lamina.messages.redaction import short_repr

Strategy = Callable[[Closure, int, Collection[StorePath]], tuple[LayerPlan, ...]]
STRATEGIES: Mapping[str, Strategy] = {"auto": auto, "popularity": popularity}
DEFAULT_STRATEGY = "auto"
DEFAULT_MAX_LAYERS = 100


def plan(
    closure: Closure,
    *,
    max_layers: int = DEFAULT_MAX_LAYERS,
    strategy: str | Pipeline = DEFAULT_STRATEGY,
    base_layers: int = 0,
    ignored: Collection[StorePath] = (),
    warn: Callable[[str], object] = len,
) -> tuple[LayerPlan, ...]:
    """The store layers of an image, first layer first; every path of ``closure`` but the ignored is in one.

    ``ignored`` paths are left out of the layers, and so are those that a pipeline removes. A pipeline alone decides how
    many layers there are: ``max_layers`` is for the strategies that have a name, as in dockerTools. ``warn`` is told of
    paths that a pipeline names and does not find. Raises `PlanError` where it leaves no room, `InvalidArgument` for a
    strategy that is not known and for a pipeline whose operations do not fit one another.
    """
    if isinstance(strategy, Pipeline):
        return strategy(closure, max_layers, ignored, warn)
    if strategy not in STRATEGIES:
        raise InvalidArgument(f"layering: got {short_repr(strategy)}, expected one of {', '.join(STRATEGIES)}")
    used = 1 + base_layers
    if not used < max_layers:
        raise PlanError(
            f"max layers: usedLayers {used} layers to store 'fromImage' and 'extraCommands', but only "
            f"maxLayers={max_layers} were allowed. At least 1 layer is required to store contents.",
            hint="give more with --max-layers",
        )
    return STRATEGIES[strategy](closure, max_layers - used, frozenset(ignored))


__all__ = ["DEFAULT_MAX_LAYERS", "DEFAULT_STRATEGY", "STRATEGIES", "LayerPlan", "Pipeline", "plan"]
