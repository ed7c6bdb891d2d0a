"""Plan the layers of an image together with those of its siblings, so that they share layers.

Every image counts with the store paths that its arguments declare. What its scripts and ready-made contents refer to is
known only when it is built, and must not change the layers of the other images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import lru_cache

from lamina import layering
from lamina.builder.architecture import choose_architecture
from lamina.builder.image_closure import resolve_contents, resolve_declared_closure
from lamina.builder.open_base import open_base
from lamina.builder.update_history import read_known_updates
from lamina.core.closure import Closure
from lamina.errors import Error, error_context
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.siblings import SHARED, Siblings
from lamina.inputs.spec import Spec
from lamina.inputs.stores import open_store
from lamina.layering import NOTHING_KNOWN, KnownUpdates, SharedLayering, SharingImage
from lamina.stores.store import Store


def has_siblings(spec: Spec) -> bool:
    """Return whether the layers of ``spec`` depend on its siblings.

    An image whose files have the current time shares no layer with any other image.
    """
    return spec.layering == SHARED and bool(spec.siblings.images) and spec.mtime is not None


def share_layers(spec: Spec, closure: Closure, base_layers: int, known: KnownUpdates) -> SharedLayering:
    """Return the layering of ``spec`` together with its siblings, whose stores are asked for their references.

    Args:
        spec: the image.
        closure: the store paths that it declares.
        base_layers: the number of layers of its base image.
        known: what is known of its updates.

    Raises:
        PlanError: an image has no layer for store paths.
        Error: what resolving a sibling raises; the message begins with its name.

    """
    return SharedLayering(_describe(spec, closure, base_layers, known), _resolve_siblings(spec.siblings))


# The images of a spec file have the same siblings, which are resolved once for all of them.
@lru_cache(maxsize=1)
def _resolve_siblings(siblings: Siblings) -> frozenset[SharingImage]:
    with ExitStack() as resources:
        stores = _OpenStores(resources)
        return frozenset(image for name, spec in siblings.images for image in _resolve(name, spec, stores))


def _resolve(name: str, spec: Spec, stores: Callable[[Spec], Store]) -> Iterator[SharingImage]:
    """Yield the image of a sibling, unless it has no layers that another image could have."""
    if not spec.include_store_paths or spec.mtime is None:
        return
    with error_context(name, Error):
        store, pinned = stores(spec), pin_base_image(spec, [])
        closure, _ = resolve_declared_closure(pinned, resolve_contents(pinned, store), store)
        if len(closure):
            known = read_known_updates(pinned, [])
            with closing(open_base(pinned, lambda: choose_architecture((), store))) as base:
                yield _describe(pinned, closure, len(base.layers), known)


def _describe(spec: Spec, closure: Closure, base_layers: int, known: KnownUpdates = NOTHING_KNOWN) -> SharingImage:
    return layering.describe_sharing(
        closure,
        max_layers=spec.layer_limit,
        base_layers=base_layers,
        lists=spec.layers,
        known=known,
        packing=(spec.owner, spec.mtime, spec.layer_compression),
    )


class _OpenStores:
    """The stores of several specs; those that are the same for two of them are opened once."""

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._opened: dict[tuple[object, ...], Store] = {}

    def __call__(self, spec: Spec) -> Store:
        """Return the opened store of ``spec``."""
        key = (
            spec.store,
            spec.trusted_keys,
            spec.verify_signatures,
            spec.channel,
            spec.channel_lists,
            spec.offline,
            spec.embedded_store,
        )
        if key not in self._opened:
            self._opened[key] = self._resources.enter_context(open_store(spec, spec.embedded_store, []))
        return self._opened[key]
