"""The caches of a worker, which opens them for each layer that it makes.

A shared place that failed is left alone for some time, as elsewhere. So what is known about such places is kept between
the layers: otherwise every layer would wait for the same place again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

from lamina.fleet.layer_task import LayerTask
from lamina.images.blob_cache import BlobCache
from lamina.inputs.blob_caches import open_blob_cache
from lamina.inputs.layer_caches import open_layer_cache
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.pause import Health, Pause
from lamina.layers.temporary_blobs import create_blob_folder


@dataclass(frozen=True, slots=True)
class WorkerCaches:
    """The opened caches.

    Attributes:
        layers: the layer cache.
        blobs: where compressed layers are found and kept; None for nowhere.
    """

    layers: LayerCache
    blobs: BlobCache | None


@contextmanager
def open_worker_caches(task: LayerTask, warnings: list[str]) -> Iterator[WorkerCaches]:
    """Open the caches of a task for the block.

    Args:
        task: the layer to make.
        warnings: each warning is added once. A place that fails gives one for all tasks of this process.

    """
    with ExitStack() as resources:
        place, health = task.layer_cache, _find_health(task.layer_cache.place)
        layers = resources.enter_context(
            open_layer_cache(place.place, warnings, local=place.local, offline=task.offline, health=health)
        )
        place, local = task.blob_cache, task.blob_cache.local
        if place.place and local is None:  # on another machine, a temporary folder is in front of a bucket
            local = str(resources.enter_context(create_blob_folder()).path)
        opened = open_blob_cache(
            place.place, local, warnings.append, offline=task.offline, pause=_find_pause(place.place)
        )
        yield WorkerCaches(layers, resources.enter_context(opened))


@cache
def _find_health(place: str | None) -> Health:
    """Return what is known about a layer cache, which is the same object at every call."""
    return Health()


@cache
def _find_pause(place: str | None) -> Pause:
    """Return when a blob cache is left alone, which is the same object at every call."""
    return Pause()
