"""Layers of a batch that begin before its images are prepared."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from tests.support.factories import info

from lamina.api.batch_layers import BatchLayers, LayerPlaces
from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION
from lamina.fleet.blob_homes import LayoutHome
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.images import ImageLayers
from lamina.fleet.layer_task import CachePlace, PathSources
from lamina.formats.tar import Owner
from lamina.inputs.spec import StoreSpec
from lamina.layer_cache.cache import NullLayerCache
from lamina.layer_cache.key import LayerInputs


class Waiting(Executor):
    """Begins no task."""

    def __init__(self) -> None:
        self.submitted: dict[str, Future[Any]] = {}

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        name = arguments[0].paths[0].name
        assert name not in self.submitted
        return self.submitted.setdefault(name, Future())


@pytest.fixture
def executor() -> Waiting:
    return Waiting()


@pytest.fixture
def layers(executor: Waiting) -> BatchLayers:
    return BatchLayers(LayerPlaces(executor, Fingerprint((), ()), NullLayerCache(), CachePlace(), CachePlace()))


def need(folder: Path, *names: str) -> ImageLayers:
    """Return the layers of an image, one for each path."""
    owner = Owner(0, 0, "root", "root")
    inputs = tuple(
        LayerInputs(owner, 1, ((path.path, path.nar_hash, path.nar_size),)) for path in (info(name) for name in names)
    )
    sources = PathSources(StoreSpec.parse({}))
    return ImageLayers(inputs, REGISTRY_LAYER_COMPRESSION, sources, LayoutHome(str(folder)))


def test_a_layer_that_two_images_declare_begins_once(layers: BatchLayers, executor: Waiting, tmp_path: Path) -> None:
    layers.begin([need(tmp_path, "a", "b"), need(tmp_path, "b", "c")])
    assert executor.submitted.keys() == {"a", "b", "c"}


def test_a_layer_that_no_prepared_image_needs_is_dropped(
    layers: BatchLayers, executor: Waiting, tmp_path: Path
) -> None:
    layers.begin([need(tmp_path, "a", "b"), need(tmp_path, "c")])
    begun = layers.complete([need(tmp_path, "a", "d")])
    assert {task.paths[0].name for task in begun.distinct.tasks.values()} == {"a", "d"}
    assert [begun.distinct.tasks[layer].paths[0].name for layer in begun.started] == ["a"]
    assert {name for name, future in executor.submitted.items() if future.cancelled()} == {"b", "c"}


def test_nothing_begins_if_no_layers_are_declared(layers: BatchLayers, executor: Waiting, tmp_path: Path) -> None:
    layers.begin([])
    begun = layers.complete([need(tmp_path, "a")])
    assert not executor.submitted
    assert not begun.started
    assert len(begun.distinct.tasks) == 1
