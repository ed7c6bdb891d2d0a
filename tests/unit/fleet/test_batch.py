"""The order of a batch: layers once, images as soon as they are complete, errors only where they belong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest
from tests.support.factories import info

from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION
from lamina.core.names import Digest
from lamina.errors import Error, NotFound, OutputError, RegistryError
from lamina.fleet.batch import Batch, BatchSettings
from lamina.fleet.blob_homes import LayoutHome
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.images import DistinctLayers, PlannedImage
from lamina.fleet.layer_task import LayerId, LayerResult, LayerTask, PathSources
from lamina.fleet.results import FAILED, MADE, REUSED, BatchImage, BatchLayer, BatchProgress
from lamina.fleet.task_runner import RetryRules
from lamina.formats.tar import Owner
from lamina.inputs.spec import StoreSpec
from lamina.layer_cache.key import LayerInputs
from lamina.layers.workers import WorkerLost
from lamina.system.transfer import BlobInfo

HOME = LayoutHome("/nowhere")
SOURCES = PathSources(StoreSpec.parse({}))
BLOB = BlobInfo(Digest(bytes(32)), 1)


def make_task(name: str) -> LayerTask:
    path = info(name)
    inputs = LayerInputs(Owner(0, 0, "root", "root"), 1, ((path.path, path.nar_hash, path.nar_size),))
    return LayerTask(inputs, "gzip:2", SOURCES, HOME, Fingerprint((), ()), batch="0" * 32)


def make_layers(images: Mapping[str, str]) -> tuple[list[PlannedImage], DistinctLayers]:
    """Return the images and their layers, each named by a letter."""
    tasks = {letter: make_task(letter) for letter in sorted({*"".join(images.values())})}
    ids = {letter: task.id for letter, task in tasks.items()}
    users = {
        ids[letter]: tuple(number for number, letters in enumerate(images.values()) if letter in letters)
        for letter in tasks
    }
    needed = tuple(frozenset(ids[letter] for letter in letters) for letters in images.values())
    planned = [PlannedImage(name, (), REGISTRY_LAYER_COMPRESSION, SOURCES, HOME) for name in images]
    return planned, DistinctLayers({task.id: task for task in tasks.values()}, users, needed)


Outcome = BaseException | None
"""The error of a task, or the result None of a layer that another batch makes."""


class Workers(Executor):
    """Ends each task at once, with the outcomes of its letter in turn; by default its layer is made."""

    def __init__(self, outcomes: Mapping[str, Sequence[Outcome]]) -> None:
        self._outcomes = {letter: list(each) for letter, each in outcomes.items()}
        self.begun: list[str] = []
        self.tasks: list[LayerTask] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        letter = arguments[0].paths[0].name
        self.begun.append(letter)
        self.tasks.append(arguments[0])
        waiting = self._outcomes.get(letter)
        future: Future[Any] = Future()
        if not waiting:
            future.set_result(LayerResult(BLOB, BLOB, HOME, is_made=True))
        elif error := waiting.pop(0):
            future.set_exception(error)
        else:
            future.set_result(None)
        return future


class Recorder(BatchProgress):
    def __init__(self) -> None:
        self.events: list[str] = []

    def layer(self, layer: BatchLayer) -> None:
        self.events.append(f"{layer.names[0]} {layer.outcome}")

    def image(self, image: BatchImage) -> None:
        self.events.append(f"{image.name} {'failed' if image.error else 'done'}")

    def retry(self, subject: str, error: BaseException) -> None:
        self.events.append(f"{subject} again")


def run(
    images: Mapping[str, str],
    outcomes: Mapping[str, Sequence[Outcome]] = {},
    known: str = "",
    finish: Callable[[PlannedImage], None] = lambda image: None,
    **options: Any,
) -> tuple[dict[str, Error | None], list[str], Workers]:
    planned, layers = make_layers(images)
    workers, recorder = Workers(outcomes), Recorder()

    def finish_image(image: PlannedImage, results: Mapping[LayerId, LayerResult]) -> BatchImage:
        finish(image)
        return BatchImage(image.name, layers=frozenset(results))

    settings = BatchSettings(
        workers, finish_image, lambda task, result: None, RetryRules(delays=(0.0,)), recorder, **options
    )
    found = {make_task(letter).id: LayerResult(BLOB, BLOB, HOME, is_made=False) for letter in known}
    ended, _ = Batch(planned, layers, found, settings).run()
    return {image.name: image.error for image in ended}, recorder.events, workers


def test_a_layer_that_several_images_have_is_made_once() -> None:
    ended, _, workers = run({"web": "ab", "api": "bc", "job": "abc"})
    assert ended == {"web": None, "api": None, "job": None}
    assert sorted(workers.begun) == ["a", "b", "c"]


def test_a_known_layer_is_reused_and_an_image_of_known_layers_needs_no_worker() -> None:
    ended, events, workers = run({"web": "a", "api": "ab"}, known="a")
    assert ended == {"web": None, "api": None}
    assert workers.begun == ["b"]
    assert events[0] == f"a {REUSED}"
    assert f"b {MADE}" in events


def test_a_layer_that_fails_fails_its_images_alone() -> None:
    ended, events, _ = run({"web": "ab", "api": "bc", "job": "c"}, {"a": [NotFound("/nix/store/a", "x", "y")]})
    assert isinstance(ended["web"], NotFound)
    assert str(ended["web"]).startswith("image web: layer a: /nix/store/a: got x")
    assert (ended["api"], ended["job"]) == (None, None)
    assert f"a {FAILED}" in events


def test_the_images_of_a_layer_have_errors_of_their_own() -> None:
    ended, *_ = run({"web": "a", "api": "a"}, {"a": [NotFound("p", "x", "y")]})
    assert str(ended["web"]) == "image web: layer a: p: got x, expected y"
    assert str(ended["api"]) == "image api: layer a: p: got x, expected y"


def test_a_worker_that_is_lost_costs_another_attempt() -> None:
    ended, events, workers = run({"web": "ab"}, {"a": [WorkerLost("killed")]})
    assert ended == {"web": None}
    assert workers.begun.count("a") == 2
    assert "layer a again" in events


def test_a_layer_that_loses_three_workers_fails_its_images_and_not_the_batch() -> None:
    ended, _, workers = run({"web": "a", "api": "b"}, {"a": [WorkerLost("killed")] * 5})
    assert isinstance(ended["web"], OutputError)
    assert "a worker that finishes the layer" in str(ended["web"])
    assert ended["api"] is None
    assert workers.begun.count("a") == 3


def test_a_registry_that_fails_while_an_image_is_finished_is_asked_again() -> None:
    failures = [RegistryError("registry", "HTTP 503", "an answer", is_transient=True)]

    def finish(image: PlannedImage) -> None:
        if image.name == "web" and failures:
            raise failures.pop()

    ended, events, _ = run({"web": "a", "api": "b"}, finish=finish)
    assert ended == {"web": None, "api": None}
    assert "web again" in events


def test_a_layer_that_another_batch_makes_comes_after_the_others_as_often_as_needed() -> None:
    ended, events, workers = run({"web": "ab", "api": "bc"}, {"a": [None] * 4})
    assert ended == {"web": None, "api": None}
    assert workers.begun == ["a", "b", "c", "a", "a", "a", "a"]
    assert events.count(f"a {MADE}") == 1
    assert not [event for event in events if event.endswith(" again")]


def test_a_claim_that_lasts_too_long_because_a_clock_is_wrong_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lamina.fleet.batch.limit_claim", lambda nar_size: 0)
    ended, _, workers = run({"web": "a"}, {"a": [None, None]})
    assert ended == {"web": None}
    assert [task.batch for task in workers.tasks] == ["0" * 32, "0" * 32, ""]


def test_a_bug_ends_the_batch() -> None:
    with pytest.raises(ZeroDivisionError):
        run({"web": "a"}, {"a": [ZeroDivisionError()]})


def test_a_batch_that_fails_fast_raises_the_first_error() -> None:
    with pytest.raises(NotFound, match="image web"):
        run({"web": "a", "api": "b"}, {"a": [NotFound("p", "x", "y")]}, fails_fast=True)


def test_an_image_without_layers_of_store_paths_is_finished_at_once() -> None:
    ended, events, _ = run({"empty": "", "web": "a"})
    assert ended == {"empty": None, "web": None}
    assert "empty done" in events
