"""The layers of a batch while its images are prepared: workers begin with those that the arguments declare.

To prepare an image, its contents must be read, and perhaps downloaded first. Its layers are usually known before.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace

from lamina.errors import AuthError, RegistryError
from lamina.fleet.blob_homes import BlobHome
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.images import DistinctLayers, ImageLayers, collect_layers
from lamina.fleet.known_layers import find_known_layers
from lamina.fleet.layer_task import CachePlace, LayerId, LayerResult
from lamina.fleet.make_layer import make_layer
from lamina.layer_cache.cache import LayerCache

# A registry may refuse the repository of one image. If it refuses this many, it is the address or the password.
_MAX_CHECKED = 8


@dataclass(frozen=True, slots=True)
class LayerPlaces:
    """The values that are the same for all layers of a batch.

    Attributes:
        executor: runs the tasks of the layers.
        fingerprint: the versions that every worker must have.
        layer_cache: what earlier runs learnt.
        worker_layer_cache: where workers find the layer cache.
        worker_blob_cache: where workers find and keep compressed layers.
        offline: whether the caches may send no request.
        batch: the name of the batch in its claims to layers.
    """

    executor: Executor
    fingerprint: Fingerprint
    layer_cache: LayerCache
    worker_layer_cache: CachePlace
    worker_blob_cache: CachePlace
    offline: bool = False
    batch: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class BegunLayers:
    """The layers that the prepared images need.

    Attributes:
        distinct: all of them, each once.
        known: those that are in their homes already.
        started: those that workers make already.
    """

    distinct: DistinctLayers
    known: Mapping[LayerId, LayerResult]
    started: Mapping[LayerId, Future[LayerResult | None]]


class BatchLayers:
    """Looks up the layers of a batch, and starts those that are missing.

    Args:
        places: what they have in common.
    """

    def __init__(self, places: LayerPlaces) -> None:
        self._places = places
        self._is_checked = False
        self._known: dict[LayerId, LayerResult] = {}
        self._started: dict[LayerId, Future[LayerResult | None]] = {}

    def begin(self, declared: Sequence[ImageLayers]) -> None:
        """Start the layers that images declare, the largest first.

        Raises:
            AuthError: the registry refuses the credentials, or wants some.
            RegistryError: the registry cannot be used.
            OutputError: a layout cannot be written.

        """
        layers = self._look_up(declared)
        for layer, task in layers.tasks.items():
            if layer not in self._known:
                self._started[layer] = self._places.executor.submit(make_layer, task)

    def complete(self, needed: Sequence[ImageLayers]) -> BegunLayers:
        """Return the layers that the prepared images need, and drop those that none of them needs.

        Raises what `begin` raises.
        """
        layers = self._look_up(needed)
        for layer in self._started.keys() - layers.tasks.keys():
            self._started.pop(layer).cancel()
        known = {layer: self._known[layer] for layer in layers.tasks if layer in self._known}
        return BegunLayers(layers, known, self._started)

    def _look_up(self, images: Sequence[ImageLayers]) -> DistinctLayers:
        """Return the distinct layers of ``images``, and look up those that were not looked up before."""
        if images and not self._is_checked:
            _check_homes(list(dict.fromkeys(image.home for image in images))[:_MAX_CHECKED])
            self._is_checked = True
        places = self._places
        caches = places.worker_layer_cache, places.worker_blob_cache
        layers = collect_layers(images, places.fingerprint, *caches, offline=places.offline, batch=places.batch)
        looked_up = self._known.keys() | self._started.keys()
        new = {layer: task for layer, task in layers.tasks.items() if layer not in looked_up}
        self._known |= find_known_layers(images, replace(layers, tasks=new), places.layer_cache)
        return layers


def _check_homes(homes: Sequence[BlobHome]) -> None:
    """Find out whether one of the homes can be used, so that a wrong address or password is an error at once.

    Raises the error of the first home if all of them fail, or at once if it is an error that may pass.
    """
    first: AuthError | RegistryError | None = None
    for home in homes:
        try:
            home.check()
        except (AuthError, RegistryError) as error:
            first = first or error
            if error.is_transient:
                break
        else:
            return
    if first:
        raise first
