"""An image that is planned together with others, and its layers once its root is made."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.layering.known_updates import NOTHING_KNOWN, KnownUpdates
from lamina.layering.plans import LayerPlan


@dataclass(frozen=True, slots=True)
class SharingImage:
    """An image that is planned together with others.

    Attributes:
        closure: the paths of the image.
        budget: the maximum number of layers, 1 at least.
        listed: paths that are in other layers. A change of one of them also changes what refers to it.
        known: what is known of the image's updates.
        packing: whatever decides how paths become bytes, such as the owner of files. Only images with equal values can
            share layers.
    """

    closure: Closure
    budget: int
    listed: frozenset[StorePath] = frozenset()
    known: KnownUpdates = NOTHING_KNOWN
    packing: Hashable = None

    @property
    def packed(self) -> frozenset[StorePath]:
        """The paths that are planned."""
        return frozenset(self.closure.numbers) - self.listed


@dataclass(frozen=True, slots=True)
class SharedLayering:
    """The layering of one image that is planned together with others; it is called as a `LayeringFunction`.

    Attributes:
        image: the image, as it was described before its root was made.
        others: the images that are planned together with it.
    """

    image: SharingImage
    others: frozenset[SharingImage] = frozenset()

    def __call__(self, closure: Closure, budget: int) -> tuple[LayerPlan, ...]:
        """Return the layers of ``closure``, which may have a few paths more or less than the image had."""
        from lamina.layering.shared import plan_together

        # A set that is not copied keeps its hash, and is found at once among those that were planned before.
        images = self.others if self.image in self.others else self.others | {self.image}
        known = (_restrict(plan, closure) for plan in plan_together(images)[self.image])
        return _fit(tuple(plan for plan in known if plan.paths), closure, budget)


def _restrict(plan: LayerPlan, closure: Closure) -> LayerPlan:
    """Return the plan of the paths that ``closure`` has; if they are all, the same object, which images then share."""
    found = LayerPlan.of(_select(closure, plan.paths), plan.reason, plan.rate)
    return plan if found == plan else found


def _select(closure: Closure, paths: Iterable[StorePath]) -> Iterable[PathInfo]:
    return (closure.infos[closure.numbers[path]] for path in paths if path in closure)


def _fit(plans: tuple[LayerPlan, ...], closure: Closure, budget: int) -> tuple[LayerPlan, ...]:
    """Return ``plans`` with a layer for the other paths of ``closure``; the last ones are merged if it is too many."""
    planned = frozenset(path for plan in plans for path in plan.paths)
    added = [info for info in closure if info.path not in planned]
    found = (*plans, LayerPlan.of(added, "found in the root")) if added else plans
    if len(found) <= budget:
        return found
    last = _select(closure, (path for plan in found[budget - 1 :] for path in plan.paths))
    return (*found[: budget - 1], LayerPlan.of(last, "the last layers, with what was found in the root"))
