"""Plan the store layers of an image within its limits: the number that the user allows, and those of engines."""

from __future__ import annotations

from collections.abc import Callable, Collection

from lamina import layering
from lamina.builder.base_image import BaseImage
from lamina.builder.earlier_layers import read_earlier_layers
from lamina.builder.shared_layers import has_siblings, share_layers
from lamina.builder.update_history import read_known_updates
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.formats.docker import MAX_LAYERS, MAX_PODMAN_LAYERS
from lamina.inputs.spec import Spec
from lamina.layering import NO_PLAN_CACHE, NOTHING_KNOWN, LayerPlan, PinnedStrategy, PlanCache, Strategy


def plan_layers(
    spec: Spec,
    closure: Closure,
    base: BaseImage,
    warnings: list[str],
    ignored: Collection[StorePath] = (),
    declare: Callable[[], Closure] | None = None,
    cache: PlanCache = NO_PLAN_CACHE,
) -> tuple[LayerPlan, ...]:
    """Return the store layers of ``spec`` over ``base``.

    Args:
        spec: the image.
        closure: the paths of the image.
        base: its base image.
        warnings: the list to which messages are added.
        ignored: paths that go into no layer.
        declare: returns the paths that the arguments of the image declare, if it can have siblings.
        cache: what earlier runs planned.

    Raises what `layering.plan`, `read_known_updates`, `read_earlier_layers` and `share_layers` raise.
    """
    packed = closure if spec.include_store_paths else Closure.of(())
    known = read_known_updates(spec, warnings) if len(packed) else NOTHING_KNOWN
    if declare and len(packed) and has_siblings(spec):
        strategy: Strategy = share_layers(spec, declare(), len(base.layers), known)
    else:
        strategy = _find_strategy(spec, packed, base, warnings)
    return layering.plan(
        packed,
        max_layers=spec.layer_limit,
        strategy=strategy,
        base_layers=len(base.layers),
        lists=spec.layers if spec.include_store_paths else (),
        known=known,
        cache=cache,
        warn=warnings.append,
        ignored=ignored,
    )


def _find_strategy(spec: Spec, packed: Closure, base: BaseImage, warnings: list[str]) -> Strategy:
    """Return the strategy of ``spec``, with the layers of the earlier image if it is pinned to one."""
    if not isinstance(spec.layering, PinnedStrategy):
        return spec.layering
    return read_earlier_layers(spec, spec.layering, packed, base, warnings) if len(packed) else "cost"


def check_layer_count(spec: Spec, base: BaseImage, plans: Collection[LayerPlan]) -> tuple[str, ...]:
    """Return a warning if engines cannot load an image of so many layers, or of as many as the spec allows."""
    planned = len(base.layers) + len(plans) + 1
    count, allowed = planned + spec.reserve, spec.layer_limit + spec.reserve
    if max(count, allowed) <= MAX_LAYERS:
        return ()
    reserved = f" and {spec.reserve} reserved" if spec.reserve else ""
    got = f"layers: got {planned}{reserved}" if count > MAX_LAYERS else f"max layers: got {spec.max_layers}"
    limits = ["docker cannot load an image with more layers, unless it has containerd's image store"]
    if max(count, allowed) > MAX_PODMAN_LAYERS:
        limits.append(f"podman cannot run one with more than {MAX_PODMAN_LAYERS}")
    return (f"{got}, expected at most {MAX_LAYERS}: {', and '.join(limits)}",)
