"""Prepare many images in one run: their stores and layer caches are opened once, and one that fails stops no other.

All arguments are checked before anything is opened. Images whose arguments name no layering are planned together, by
the layering ``shared``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from lamina.builder.opened_bases import OpenedBases
from lamina.builder.prepare import prepare
from lamina.builder.shared_layers import ResolvedImages, resolve_separately
from lamina.core.progress import Progress
from lamina.errors import Error, error_context
from lamina.images.image import Draft
from lamina.inputs.arguments import ImageArguments
from lamina.inputs.layer_caches import open_spec_layer_cache
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.platforms import expand_platforms
from lamina.inputs.siblings import SHARED
from lamina.inputs.spec import Spec
from lamina.inputs.stores import OpenedStores
from lamina.layer_cache.cache import LayerCache
from lamina.layering import LayerPlan
from lamina.rootfs.kept_roots import KeptRoots
from lamina.stores.cached import CachedStore
from lamina.stores.memoized import MemoizedStore
from lamina.stores.store import Store


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that is ready to be written. The caller closes the draft.

    Attributes:
        name: the key of its arguments in the mapping that the caller gave.
        platform: the platform that was asked for; empty if there was none.
        draft: the image before it is written.
        spec: its checked arguments.
        warnings: messages about it.
    """

    name: str
    platform: str
    draft: Draft
    spec: Spec
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedImage:
    """An image that could not be prepared.

    Attributes:
        name: the key of its arguments in the mapping that the caller gave.
        platform: the platform that was asked for; empty if there was none.
        error: the reason.
    """

    name: str
    platform: str
    error: Error


@dataclass(frozen=True, slots=True)
class DeclaredImage:
    """An image before its contents are read.

    Attributes:
        name: the key of its arguments in the mapping that the caller gave.
        spec: its checked arguments.
        plans: the layers that it will have, unless its scripts or contents refer to other store paths.
    """

    name: str
    spec: Spec
    plans: tuple[LayerPlan, ...]


@contextlib.contextmanager
def prepare_images(
    tables: Mapping[str, ImageArguments],
    warnings: list[str],
    progress: Progress | None = None,
    *,
    siblings: Mapping[str, ImageArguments] | None = None,
) -> Iterator[ImagesInPreparation]:
    """Prepare many images for the block, one after the other; the stores that they read are open in the block.

    An image for several platforms is one for each. Layers are not downloaded: whoever makes them reads them.

    Args:
        tables: the arguments of the images, by names for them.
        warnings: receives messages about stores and lock files, each once.
        progress: receives the progress of fetching base images from registries.
        siblings: arguments of other images that are planned together with them, and not prepared.

    Returns:
        A context manager, which gives the images in the order of ``tables``.

    Raises:
        InvalidArgument: an argument is wrong; the message begins with the name of the image.
        InputError: a file that an argument names cannot be read.
        FormatError: a pipeline or lock file does not follow its format.

    """
    images = _parse_images(tables, warnings)
    others = _parse_images({name: siblings[name] for name in siblings if name not in tables}, []) if siblings else {}
    with ExitStack() as resources:
        yield ImagesInPreparation(images, others, _Opened(resources, warnings), progress)


_Key = tuple[str, str]
"""The name and the platform of an image."""


def _parse_images(tables: Mapping[str, ImageArguments], warnings: list[str]) -> dict[_Key, Spec]:
    messages: list[str] = []
    images: dict[_Key, Spec] = {}
    for name, arguments in tables.items():
        # The siblings of a spec file are replaced by all images of this run.
        own: dict[str, Any] = {key: value for key, value in arguments.items() if key != "siblings"}
        with error_context(name, Error):
            for platform, expanded in expand_platforms({"layering": SHARED, **own}).items():
                images[name, platform] = pin_base_image(Spec.parse(expanded), messages)
    warnings += [text for text in dict.fromkeys(messages) if text not in warnings]
    return images


class _Opened:
    """Stores, layer caches and base images of several specs; those that two specs have in common are opened once."""

    def __init__(self, resources: ExitStack, warnings: list[str]) -> None:
        self._resources = resources
        self._warnings = warnings
        self._caches: dict[tuple[object, ...], LayerCache] = {}
        self._listed: dict[tuple[int, int], Store] = {}
        self.roots: KeptRoots = KeptRoots(resources)
        self.open_base: OpenedBases = OpenedBases(resources)
        self.open_store: OpenedStores = OpenedStores(resources, warnings)

    def open_layer_cache(self, spec: Spec) -> LayerCache:
        """Return the opened layer cache of ``spec``."""
        key = spec.layer_cache, spec.local_layer_cache, spec.offline
        if key not in self._caches:
            opened = open_spec_layer_cache(spec, self._warnings)
            self._caches[key] = self._resources.enter_context(opened)
        return self._caches[key]

    def list_store(self, spec: Spec) -> Store:
        """Return the store of ``spec``, which takes listings from the layer cache and keeps them in memory."""
        store, layer_cache = self.open_store(spec), self.open_layer_cache(spec)
        key = id(store), id(layer_cache)
        if key not in self._listed:
            self._listed[key] = MemoizedStore(CachedStore(store, layer_cache))
        return self._listed[key]


class ImagesInPreparation:
    """Many images, each of which is prepared when it is asked for.

    Iterating gives them in their order. The errors of `stream_layered_image` that concern one image are in a
    `FailedImage`.
    """

    def __init__(
        self,
        images: Mapping[_Key, Spec],
        others: Mapping[_Key, Spec],
        opened: _Opened,
        progress: Progress | None,
    ) -> None:
        self._images = images
        self._others = others
        self._opened = opened
        self._progress = progress

    @property
    def specs(self) -> Mapping[tuple[str, str], Spec]:
        """The checked arguments of the images, each by its name and its platform."""
        return self._images

    @cached_property
    def _together(self) -> ResolvedImages:
        """The images that are planned together. The downloads of the contents of those that are built begin here."""
        shared = {key: spec for key, spec in {**self._images, **self._others}.items() if spec.layering == SHARED}
        return resolve_separately(shared, self._images, self._opened.list_store, self._opened.open_base)

    def declare(self) -> Iterator[DeclaredImage]:
        """Yield the images whose layers are known before their contents are read: those planned together."""
        for key, plans in self._together.plans.items():
            if key in self._images:
                yield DeclaredImage(key[0], self._images[key], plans)

    def __iter__(self) -> Iterator[PreparedImage | FailedImage]:
        """Yield each image once it is prepared, or its error."""
        now = datetime.now(UTC)
        for (name, platform), spec in self._images.items():
            if error := self._together.errors.get((name, platform)):
                yield FailedImage(name, platform, error)
                continue
            planned = replace(spec, siblings=self._together.siblings) if spec.layering == SHARED else spec
            try:
                prepared = _prepare(planned, self._opened, now, self._progress)
            except Error as error:
                yield FailedImage(name, platform, error)
                continue
            yield PreparedImage(name, platform, *prepared)


def _prepare(
    spec: Spec, opened: _Opened, now: datetime, progress: Progress | None
) -> tuple[Draft, Spec, tuple[str, ...]]:
    messages: list[str] = []
    layer_cache = opened.open_layer_cache(spec)
    prepared = prepare(
        spec,
        opened.list_store(spec),
        now,
        progress,
        messages.append,
        plan_cache=layer_cache,
        bases=opened.open_base,
    )
    root = opened.roots.keep(prepared.root)
    draft = replace(prepared.draft, store=opened.open_store(spec), root=root)
    return draft, spec, (*messages, *prepared.warnings)
