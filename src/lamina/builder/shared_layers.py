"""Plan the layers of an image together with those of its siblings, so that they share layers.

Every image counts with the store paths that its arguments declare. What its scripts and ready-made contents refer to is
known only when it is built, and must not change the layers of the other images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from weakref import WeakKeyDictionary

from lamina import layering
from lamina.builder.architecture import choose_architecture
from lamina.builder.image_closure import resolve_contents, resolve_declared_closure
from lamina.builder.open_base import OpenBase, open_base
from lamina.builder.update_history import read_known_updates
from lamina.core.closure import Closure
from lamina.errors import Error, error_context
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.siblings import SHARED, Siblings
from lamina.inputs.spec import Spec
from lamina.inputs.stores import OpenedStores
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


def resolve_separately(
    images: Mapping[tuple[str, str], Spec], open_store: Callable[[Spec], Store], bases: OpenBase = open_base
) -> tuple[Siblings, Mapping[tuple[str, str], Error]]:
    """Ask the stores for the references of many images that are planned together.

    Args:
        images: the spec of each image by its name and platform.
        open_store: returns the opened store of a spec.
        bases: opens base images.

    Returns:
        Those that can be planned, as siblings of each other, and the errors of the others.

    """
    found: set[SharingImage] = set()
    errors: dict[tuple[str, str], Error] = {}
    for key, spec in images.items():
        try:
            found.update(_resolve(spec, open_store, bases))
        except Error as error:
            errors[key] = error
    siblings = Siblings(tuple((" ".join(key), spec) for key, spec in images.items() if key not in errors))
    _RESOLVED[siblings] = frozenset(found)
    return siblings, errors


# What the stores say about siblings. The images of a command have the same ones, which are resolved once for all.
_RESOLVED: WeakKeyDictionary[Siblings, frozenset[SharingImage]] = WeakKeyDictionary()


def _resolve_siblings(siblings: Siblings) -> frozenset[SharingImage]:
    if siblings not in _RESOLVED:
        with ExitStack() as resources:
            _RESOLVED[siblings] = frozenset(_resolve_all(siblings, OpenedStores(resources, [])))
    return _RESOLVED[siblings]


def _resolve_all(siblings: Siblings, open_store: Callable[[Spec], Store]) -> Iterator[SharingImage]:
    for name, spec in siblings.images:
        with error_context(name, Error):
            yield from _resolve(spec, open_store)


def _resolve(spec: Spec, open_store: Callable[[Spec], Store], bases: OpenBase = open_base) -> Iterator[SharingImage]:
    """Yield the image of a sibling, unless it has no layers that another image could have."""
    if not spec.include_store_paths or spec.mtime is None:
        return
    store, pinned = open_store(spec), pin_base_image(spec, [])
    closure, _ = resolve_declared_closure(pinned, resolve_contents(pinned, store), store)
    if len(closure):
        known = read_known_updates(pinned, [])
        with closing(bases(pinned, lambda: choose_architecture((), store))) as base:
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
