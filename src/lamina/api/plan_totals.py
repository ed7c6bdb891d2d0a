"""Compare how many bytes a registry stores for several images with different plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.api.images import plan_layered_image
from lamina.builder.update_history import read_known_updates
from lamina.inputs.platforms import expand_platforms
from lamina.inputs.siblings import SHARED, parse_siblings
from lamina.inputs.spec import Spec
from lamina.layering.estimate import estimate_sent

if TYPE_CHECKING:
    from lamina.builder.prepare import PlanResult
    from lamina.inputs.arguments import ImageArguments
    from lamina.layering import KnownUpdates


@dataclass(frozen=True, slots=True)
class RegistryTotal:
    """The layers that a registry stores for several images; one that several of them have is stored once.

    Attributes:
        layer_count: the number of different layers of store paths.
        size: the sum of their NAR sizes in bytes.
        update_size: the mean number of bytes that an update of each image sends, for all images together.
    """

    layer_count: int
    size: int
    update_size: int


@dataclass(frozen=True, slots=True)
class RegistryTotals:
    """The totals of the same images with different plans.

    Attributes:
        planned: as the images are planned.
        alone: with each image planned alone, by ``cost``.
        shared: with all images planned together, by ``shared``.
    """

    planned: RegistryTotal
    alone: RegistryTotal
    shared: RegistryTotal


def compare_plans(images: Mapping[str, ImageArguments], planned: Sequence[PlanResult]) -> RegistryTotals:
    """Return what a registry stores for ``images``.

    Args:
        images: the arguments of each image by a name for it.
        planned: the plan of each image, and of one for several platforms those of all platforms.

    Raises:
        Error: what `plan_layered_image` raises.

    """
    siblings = parse_siblings("siblings", {name: {**given, "layering": SHARED} for name, given in images.items()})
    expanded = [arguments for given in images.values() for arguments in expand_platforms(given).values()]
    specs = [Spec.parse(arguments) for arguments in expanded]
    # Plans that are known are not made again, and each history is read once for all totals.
    known = [read_known_updates(spec, []) for spec in specs]
    alone = [
        plan if spec.layering == "cost" else plan_layered_image(**{**arguments, "layering": "cost"})
        for spec, arguments, plan in zip(specs, expanded, planned, strict=True)
    ]
    if all(spec.layering == SHARED for spec in specs):
        shared = planned
    else:
        shared = [
            plan_layered_image(**{**arguments, "layering": SHARED, "siblings": siblings}) for arguments in expanded
        ]
    return RegistryTotals(*(_add_up(zip(specs, known, plans, strict=True)) for plans in (planned, alone, shared)))


def _add_up(images: Iterable[tuple[Spec, KnownUpdates, PlanResult]]) -> RegistryTotal:
    sizes: dict[tuple[object, ...], int] = {}
    sent = 0.0
    for number, (spec, known, plan) in enumerate(images):
        # Without a fixed time, no two images have equal layers.
        packing = (spec.owner, spec.mtime or number, spec.layer_compression)
        sizes.update(((packing, layer.paths, layer.nars), layer.nar_size) for layer in plan.layers)
        sent += estimate_sent(plan.closure, plan.layers, known)
    return RegistryTotal(len(sizes), sum(sizes.values()), round(sent))
