"""What is known of a layer before it is packed, and what is recorded afterwards."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.factories import MemoryStore, infos, path

from lamina.core.names import Digest
from lamina.errors import IntegrityError
from lamina.formats.tar import Owner
from lamina.layer_cache.cache import LayerCache
from lamina.layering.plans import LayerPlan
from lamina.layers.context import BuildContext, LayerState
from lamina.layers.layer import StoreLayer
from lamina.system.transfer import BlobInfo

SOURCE = StoreLayer(LayerPlan.of(infos("A"), ""), MemoryStore((), {path("A"): {}}).nodes, Owner(), 1)
ONE, TWO = BlobInfo(Digest(bytes(32)), 1), BlobInfo(Digest(bytes([1] * 32)), 2)


@pytest.mark.parametrize(("jobs", "size", "expected"), [(4, 100, 3), (2, 100, 2), (1, 100, 0), (4, 99, 0)])
def test_workers_are_started_for_enough_bytes_on_several_processors(jobs: int, size: int, expected: int) -> None:
    assert BuildContext(jobs=jobs, min_parallel_size=100).worker_count(size, 3) == expected


def test_a_finished_layer_is_known_the_next_time(tmp_path: Path) -> None:
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        context = BuildContext(layer_cache)
        state = LayerState.find(1, SOURCE, context)
        assert state.known is None
        layer = state.finish(ONE)
        assert (layer.diff_id, layer.size, layer.paths) == (ONE.digest, 1, (path("A"),))
        assert LayerState.find(1, SOURCE, context).known == ONE
        verifying = LayerState.find(1, SOURCE, replace(context, verify=True))
        assert (verifying.known, verifying.cached) == (None, ONE)
        verifying.finish(ONE)
        with pytest.raises(IntegrityError, match=r"layer 1: got .*the digest in the layer cache"):
            verifying.finish(TWO)
        assert LayerState.find(1, SOURCE, context).known is None, "what was wrong is forgotten"


def test_what_an_image_states_is_used_until_the_layer_is_hashed(tmp_path: Path) -> None:
    assert SOURCE.key
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        context = BuildContext(layer_cache)
        layer_cache.add_statement(SOURCE.key.key, ONE, "gzip", TWO)
        state = LayerState.find(1, SOURCE, context)
        assert state.known == ONE
        verifying = LayerState.find(1, SOURCE, replace(context, verify=True))
        assert verifying.known is None
        with pytest.raises(IntegrityError, match=r"layer 1: got .*the digest that an image in the registry states"):
            verifying.finish(TWO)
        verifying.finish(ONE)
        assert not layer_cache.is_stated(SOURCE.key), "its bytes were hashed here"
    with LayerCache.open(tmp_path / "cache", len) as layer_cache:
        assert layer_cache.get_layer(SOURCE.key) == ONE
