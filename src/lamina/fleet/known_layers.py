"""Find the layers of a batch that their homes have already, so that no worker is asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from lamina.compression.compressors import LayerCompression
from lamina.fleet.blob_homes import BlobHome
from lamina.fleet.layer_task import LayerId, LayerResult, LayerTask
from lamina.layer_cache.cache import LayerCache
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo

_HOMES_AT_A_TIME = 4

_Known = tuple[LayerTask, BlobInfo, BlobInfo]


def find_known_layers(tasks: Iterable[LayerTask], layer_cache: LayerCache) -> Mapping[LayerId, LayerResult]:
    """Return the layers that the layer cache knows and whose blobs are in their homes.

    Args:
        tasks: the layers. Those that are to be verified are not looked up.
        layer_cache: what earlier runs learnt.

    Raises:
        RegistryError: the registry failed.
        AuthError: the registry refuses the credentials, or wants some.
        OutputError: a layout cannot be written.

    """
    wanted = [task for task in tasks if not task.verify]
    homes: dict[BlobHome, list[_Known]] = {}
    for known in _look_up(wanted, layer_cache):
        homes.setdefault(known[0].home, []).append(known)
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
    with home.open_blobs() as blobs:
        stored = blobs.find({blob for _, _, blob in known})
    return [(task.id, LayerResult(plain, blob, home, is_made=False)) for task, plain, blob in known if blob in stored]
