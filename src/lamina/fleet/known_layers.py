"""Find the layers of a batch that their homes have already, so that no worker is asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from lamina.compression.compressors import LayerCompression
from lamina.errors import AuthError, RegistryError
from lamina.fleet.blob_homes import BlobHome
from lamina.fleet.images import DistinctLayers, ImageLayers
from lamina.fleet.layer_task import LayerId, LayerResult, LayerTask
from lamina.layer_cache.cache import LayerCache
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo

_HOMES_AT_A_TIME = 4
# An earlier batch may have sent a layer for another image, for example because a new image is the first now. For each
# layer that an empty registry lacks, every place costs a request.
_MAX_HOMES = 3

_Known = tuple[LayerTask, BlobInfo, BlobInfo]


def find_known_layers(
    images: Sequence[ImageLayers], layers: DistinctLayers, layer_cache: LayerCache
) -> Mapping[LayerId, LayerResult]:
    """Return the layers that the layer cache knows and that are in the homes of the first images that have them.

    A home that cannot be asked counts as one that has no layer, because only its own images fail.

    Args:
        images: the layers of each image.
        layers: all of them, or those that are looked up. Those that are to be verified are not looked up.
        layer_cache: what earlier runs learnt.

    Raises:
        OutputError: a layout cannot be written.

    """
    known = list(_look_up([task for task in layers.tasks.values() if not task.verify], layer_cache))
    choices = {task.id: _list_homes(images, layers.users[task.id]) for task, _, _ in known}
    results: dict[LayerId, LayerResult] = {}
    for number in range(_MAX_HOMES):
        homes: dict[BlobHome, list[_Known]] = {}
        for each in known:
            choice = choices[each[0].id]
            if number < len(choice) and each[0].id not in results:
                homes.setdefault(choice[number], []).append(each)
        results |= _ask_homes(homes)
    return results


def _list_homes(images: Sequence[ImageLayers], users: Iterable[int]) -> list[BlobHome]:
    """Return the different homes of the first images that have a layer."""
    return list(dict.fromkeys(images[user].home for user in users))[:_MAX_HOMES]


def _ask_homes(homes: Mapping[BlobHome, list[_Known]]) -> dict[LayerId, LayerResult]:
    with ThreadPool(_HOMES_AT_A_TIME, "lamina-homes") as pool:
        found = [pool.submit(partial(_find_stored, home, known)) for home, known in homes.items()]
        return {layer: result for future in found for layer, result in future.result()}


def _look_up(tasks: list[LayerTask], layer_cache: LayerCache) -> Iterable[_Known]:
    """Yield each task whose layer is known, with digest and size of its tar and of its blob."""
    layer_cache.look_up_layers(task.inputs for task in tasks)
    plain = [(task, found) for task in tasks if (found := layer_cache.get_layer(task.inputs))]
    codecs = {task.compression: LayerCompression.parse(task.compression) for task in tasks}
    compressed = [(tar.digest, codecs[task.compression].identity) for task, tar in plain]
    layer_cache.look_up_compressed(pair for pair, (task, _) in zip(compressed, plain, strict=True))
    for (task, tar), (digest, identity) in zip(plain, compressed, strict=True):
        blob = tar if codecs[task.compression].is_none else layer_cache.get_compressed(digest, identity)
        if blob:
            yield task, tar, blob


def _find_stored(home: BlobHome, known: list[_Known]) -> list[tuple[LayerId, LayerResult]]:
    try:
        with home.open_blobs() as blobs:
            stored = blobs.find({blob for _, _, blob in known})
    except (AuthError, RegistryError):  # the tasks of the layers have the same error, or another attempt
        return []
    return [(task.id, LayerResult(plain, blob, home, is_made=False)) for task, plain, blob in known if blob in stored]
