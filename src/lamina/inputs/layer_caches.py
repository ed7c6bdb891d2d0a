"""Open the layer cache of a run: a file of this machine, or a place that several machines share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.inputs.parsers import is_shared_cache
from lamina.layer_cache.cache import LayerCache, NullLayerCache

if TYPE_CHECKING:  # most layer caches are files
    from lamina.inputs.spec import Spec
    from lamina.layer_cache.pause import Health
    from lamina.layer_cache.shared_cache import SharedLayerCache


@contextlib.contextmanager
def open_layer_cache(
    place: str | None,
    warnings: list[str],
    *,
    local: str | None = None,
    offline: bool = False,
    health: Health | None = None,
) -> Iterator[LayerCache]:
    """Open a layer cache for the block.

    Args:
        place: the file, or the URL of a shared layer cache; None for none.
        warnings: each warning is added once.
        local: the file that stands in front of a shared one; None for none.
        offline: whether no request may be sent. Of a shared layer cache in a bucket, only ``local`` is used then.
        health: what is known about a shared one; None for one that is not known yet.
    """

    def warn(text: str) -> None:
        if text not in warnings:
            warnings.append(text)

    with _open(place, local, warn, health, offline=offline) as layer_cache:
        yield layer_cache


def open_spec_layer_cache(spec: Spec, warnings: list[str]) -> contextlib.AbstractContextManager[LayerCache]:
    """Open the layer cache of an image for a block, as `open_layer_cache` does."""
    return open_layer_cache(spec.layer_cache, warnings, local=spec.local_layer_cache, offline=spec.offline)


def without_local_file(spec: Spec) -> Spec:
    """Return ``spec`` without the file of the layer cache, which could not be opened."""
    if spec.layer_cache and is_shared_cache(spec.layer_cache):
        return replace(spec, local_layer_cache=None)
    return replace(spec, layer_cache=None)


def _open(
    place: str | None, local: str | None, warn: Callable[[str], object], health: Health | None, *, offline: bool
) -> LayerCache:
    if place is None:
        return NullLayerCache()
    if not is_shared_cache(place):
        return LayerCache.open(Path(place), warn)
    if offline and not place.startswith("file:"):
        return LayerCache.open(Path(local), warn) if local else NullLayerCache()
    return _open_shared(place, local, warn, health)


def _open_shared(url: str, local: str | None, warn: Callable[[str], object], health: Health | None) -> SharedLayerCache:
    from lamina.layer_cache.shared_cache import SharedLayerCache
    from lamina.layer_cache.shared_entries import SharedEntries
    from lamina.transports.open import open_optional
    from lamina.transports.urls import redact_url

    file = Path(local) if local else None
    entries = SharedEntries(lambda: open_optional(url), redact_url(url), warn, health=health)
    return SharedLayerCache(file, entries, url, warn)
