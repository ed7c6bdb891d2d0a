"""Plan the store layers of an image within its limits: the number that the user allows, and those of engines."""

from __future__ import annotations

from collections.abc import Collection

from lamina import layering
from lamina.builder.base_image import BaseImage
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.formats.docker import MAX_LAYERS
from lamina.inputs.spec import Spec
from lamina.layering import LayerPlan


def plan_layers(
    spec: Spec, closure: Closure, base: BaseImage, warnings: list[str], ignored: Collection[StorePath] = ()
) -> tuple[LayerPlan, ...]:
    """Return the store layers of ``spec`` over ``base``; messages are added to ``warnings``.

    ``closure`` contains the paths of the image; those in ``ignored`` go into no layer. Raises what `layering.plan`
    raises.
    """
    packed = closure if spec.include_store_paths else Closure.of(())
    return layering.plan(
        packed,
        max_layers=spec.max_layers,
        strategy=spec.layering,
        base_layers=len(base.layers),
        warn=warnings.append,
        ignored=ignored,
    )


def check_layer_count(spec: Spec, base: BaseImage, plans: Collection[LayerPlan]) -> tuple[str, ...]:
    """Return a warning if docker cannot load an image of so many layers, or of as many as the spec allows."""
    count = len(base.layers) + len(plans) + 1
    if max(count, spec.max_layers) <= MAX_LAYERS:
        return ()
    got = f"layers: got {count}" if count > MAX_LAYERS else f"max layers: got {spec.max_layers}"
    return (f"{got}, expected at most {MAX_LAYERS}: docker cannot load an image with more layers",)
