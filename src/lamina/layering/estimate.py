"""How many bytes an update of an image sends with given layers, by the model of `lamina.layering.updates`."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.closure import Closure
from lamina.layering.known_updates import NOTHING_KNOWN, KnownUpdates
from lamina.layering.plans import LayerPlan
from lamina.layering.updates import Items, as_share


def estimate_sent(closure: Closure, plans: Iterable[LayerPlan], known: KnownUpdates = NOTHING_KNOWN) -> float:
    """Return the mean number of bytes that an update sends.

    Args:
        closure: the paths of the image.
        plans: its layers, whichever strategy planned them.
        known: what is known of its updates.
    """
    items = Items.of(closure, range(len(closure)), *known.estimate(closure)) if len(closure) else None
    if items is None:
        return 0.0
    return sum(
        plan.nar_size * as_share(items.merge([[closure.numbers[path] for path in plan.paths]]).probability(0))
        for plan in plans
    )
