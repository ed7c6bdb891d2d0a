"""Plan the layers of an image together with those of its siblings, so that they share layers.

Every image counts with the store paths that its arguments declare. What its scripts and ready-made contents refer to is
known only when it is built, and must not change the layers of the other images.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from lamina import layering
from lamina.builder.architecture import choose_architecture
from lamina.builder.image_closure import resolve_contents, resolve_declared_closure
from lamina.builder.open_base import OpenBase, open_base
from lamina.builder.update_history import read_known_updates
from lamina.core.closure import Closure
from lamina.core.names import StoreSubpath
from lamina.errors import Error, error_context
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.siblings import SHARED, Siblings
from lamina.inputs.spec import Spec
from lamina.inputs.stores import OpenedStores
from lamina.layering import NOTHING_KNOWN, KnownUpdates, LayerPlan, SharedLayering, SharingImage
from lamina.layering.shared import plan_together
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


@dataclass(frozen=True, slots=True)
class ResolvedImages:
    """What the stores say about many images that are planned together.

    Attributes:
        siblings: those that can be planned, as siblings of each other.
        plans: for each of these that can share layers, the layers of the store paths that its arguments declare.
        errors: the errors of the others.
    """

    siblings: Siblings
    plans: Mapping[tuple[str, str], tuple[LayerPlan, ...]]
    errors: Mapping[tuple[str, str], Error]


def resolve_separately(
    images: Mapping[tuple[str, str], Spec],
    built: Collection[tuple[str, str]],
    open_store: Callable[[Spec], Store],
    bases: OpenBase = open_base,
) -> ResolvedImages:
    """Ask the stores for the references of many images, and plan these together.

    Args:
        images: the spec of each image by its name and platform.
        built: the images whose contents are read afterwards. Their downloads begin here, so that connections do not
            wait until the images before them are prepared.
        open_store: returns the opened store of a spec.
        bases: opens base images.

    """
    found: dict[tuple[str, str], SharingImage] = {}
    errors: dict[tuple[str, str], Error] = {}
    for key, spec in images.items():
        try:
            store = open_store(spec)
            contents = resolve_contents(spec, store)
            if key in built:
                store.prefetch(content.path for content in contents)
            if _can_share(spec) and (image := _describe_declared(spec, contents, store, bases)):
                found[key] = image
        except Error as error:
            errors[key] = error
    siblings = Siblings(tuple((" ".join(key), spec) for key, spec in images.items() if key not in errors))
    together = _RESOLVED[siblings] = frozenset(found.values())
    plans = plan_together(together)
    return ResolvedImages(siblings, {key: plans[image] for key, image in found.items()}, errors)


# What the stores say about siblings. The images of a command have the same ones, which are resolved once for all.
_RESOLVED: WeakKeyDictionary[Siblings, frozenset[SharingImage]] = WeakKeyDictionary()


def _resolve_siblings(siblings: Siblings) -> frozenset[SharingImage]:
    if siblings not in _RESOLVED:
        with ExitStack() as resources:
            _RESOLVED[siblings] = frozenset(_resolve_all(siblings, OpenedStores(resources, [])))
    return _RESOLVED[siblings]


def _resolve_all(siblings: Siblings, open_store: Callable[[Spec], Store]) -> Iterator[SharingImage]:
    for name, spec in siblings.images:
        if _can_share(spec):
            with error_context(name, Error):
                store = open_store(spec)
                if image := _describe_declared(spec, resolve_contents(spec, store), store):
                    yield image


def _can_share(spec: Spec) -> bool:
    """Return whether an image has layers that another image could have."""
    return spec.include_store_paths and spec.mtime is not None


def _describe_declared(
    spec: Spec, contents: Sequence[StoreSubpath], store: Store, bases: OpenBase = open_base
) -> SharingImage | None:
    """Return the image with the store paths that it declares; None if it declares none."""
    pinned = pin_base_image(spec, [])
    closure, _ = resolve_declared_closure(pinned, contents, store)
    if not len(closure):
        return None
    known = read_known_updates(pinned, [])
    with closing(bases(pinned, lambda: choose_architecture((), store))) as base:
        return _describe(pinned, closure, len(base.layers), known)


def _describe(spec: Spec, closure: Closure, base_layers: int, known: KnownUpdates = NOTHING_KNOWN) -> SharingImage:
    return layering.describe_sharing(
        closure,
        max_layers=spec.layer_limit,
        base_layers=base_layers,
        lists=spec.layers,
        known=known,
        packing=(spec.owner, spec.mtime, spec.layer_compression),
    )
