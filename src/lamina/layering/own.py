"""Use a function of the caller as a layering strategy.

Its plans must put every path of the closure in exactly one layer and stay within the budget; otherwise an error is
raised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import InvalidArgument, PlanError
from lamina.layering.plans import LayerPlan
from lamina.messages.redaction import short_repr

LayeringFunction = Callable[[Closure, int], Iterable[LayerPlan]]
"""A function from the closure of an image and the maximum number of store layers to the layers, from the lowest up.

`LayerPlan.of` makes a layer. Every path of the closure belongs in exactly one layer.
"""


def plan_with(
    function: LayeringFunction, closure: Closure, budget: int, ignored: Collection[StorePath]
) -> tuple[LayerPlan, ...]:
    """Return the layers that ``function`` plans, without ``ignored`` paths.

    Raises:
        InvalidArgument: the function returns values other than plans, or a path is in no layer or in several.
        PlanError: there are more layers than ``budget``.
    """
    returned = function(closure, budget)
    if not isinstance(returned, Iterable):
        got = f"a function that returns {short_repr(returned)}"
        raise InvalidArgument("layering", got, "one that returns LayerPlans")
    plans = tuple(returned)
    for plan in plans:
        if not isinstance(plan, LayerPlan):
            raise InvalidArgument(
                "layering", f"a function that returns {short_repr(plan)}", "one that returns LayerPlans"
            )
    _check_paths(plans, closure)
    if len(plans) > budget:
        raise PlanError("layering", f"a function that returns {len(plans)} layers", f"at most {budget}")
    kept = (
        LayerPlan.of(
            [closure.infos[closure.numbers[path]] for path in plan.paths if path not in ignored], plan.reason, plan.rate
        )
        for plan in plans
    )
    return tuple(plan for plan in kept if plan.paths)


def _check_paths(plans: Iterable[LayerPlan], closure: Closure) -> None:
    counts = Counter(path for plan in plans for path in plan.paths)
    for path in closure.numbers.keys() | counts.keys():
        expected = 1 if path in closure else 0
        if counts[path] != expected:
            raise InvalidArgument(
                "layering",
                f"a function that puts {path} into {counts[path]} layers",
                "every path of the closure in exactly one layer, and no other path",
            )
