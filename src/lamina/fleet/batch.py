"""Make the layers of a batch, each once, and finish every image as soon as its last layer is there.

The batch is the same for processes of this machine and for a cluster: it knows only a `concurrent.futures.Executor`.

Invariant: an image fails only with the error of one of its own layers or documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from lamina.core.labels import summarize_layer_paths
from lamina.errors import AuthError, Error, OutputError, RegistryError
from lamina.fleet.blob_homes import BlobHome
from lamina.fleet.images import DistinctLayers, PlannedImage
from lamina.fleet.layer_task import LayerId, LayerResult, LayerTask
from lamina.fleet.make_layer import make_layer
from lamina.fleet.results import FAILED, MADE, REUSED, BatchImage, BatchLayer, BatchProgress
from lamina.fleet.task_runner import DEFAULT_RULES, RetryRules, TaskRunner
from lamina.layer_cache.claims import limit_claim
from lamina.layers.workers import WorkerLost
from lamina.system.threads import ThreadPool

FinishImage = Callable[[PlannedImage, Mapping[LayerId, LayerResult]], BatchImage]
"""Makes the documents of an image whose layers are in their homes."""
_FINISHERS = 8
# How many seconds to wait for a layer that another batch makes. The wait grows each time.
_FIRST_WAIT, _MAX_WAIT = 0.2, 10.0
# If so many homes refuse layers before one takes any, the others would do so too.
_MAX_REFUSING = 3
_LOST_HINT = "look at the log of the workers: one that needs too much memory is ended by its system"
NOTHING_STARTED: Mapping[LayerId, Future[LayerResult | None]] = MappingProxyType({})
_Key = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How a batch is run.

    Attributes:
        executor: runs the tasks of the layers.
        finish: finishes an image.
        learn: is called with each layer that was made.
        rules: how often a task is tried.
        progress: receives the progress.
        fails_fast: whether the first error ends the batch.
    """

    executor: Executor
    finish: FinishImage
    learn: Callable[[LayerTask, LayerResult], object]
    rules: RetryRules = DEFAULT_RULES
    progress: BatchProgress = field(default_factory=BatchProgress)
    fails_fast: bool = False


class Batch:
    """The images and layers of a batch while it runs.

    Args:
        images: the images.
        layers: their layers.
        known: the layers that are in their homes already.
        settings: how the batch is run.
        started: the first attempts of layers that workers make already.
    """

    def __init__(
        self,
        images: Sequence[PlannedImage],
        layers: DistinctLayers,
        known: Mapping[LayerId, LayerResult],
        settings: BatchSettings,
        started: Mapping[LayerId, Future[LayerResult | None]] = NOTHING_STARTED,
    ) -> None:
        self._images = images
        self._layers = layers
        self._tasks = dict(layers.tasks)
        self._settings = settings
        self._results = dict(known)
        self._started = dict(started)
        self._missing = [len(needed - known.keys()) for needed in layers.needed]
        self._finished: dict[int, BatchImage] = {}
        self._described: dict[LayerId, BatchLayer] = {}
        self._waited: dict[LayerId, float] = {}
        self._refusing: set[BlobHome] = set()
        self._has_sent = False
        self._runner: TaskRunner[_Key] = TaskRunner(settings.rules, self._report_retry)

    def run(self) -> tuple[tuple[BatchImage, ...], tuple[BatchLayer, ...]]:
        """Make the layers and finish the images.

        Returns:
            The images, in their order, and the layers, the largest first. Layers that only failed images need may be
            missing.

        Raises:
            Error: the first error, if the batch fails fast.

        """
        self._settings.progress.begin(len(self._images), len(self._layers.tasks))
        with ThreadPool(_FINISHERS, "lamina-batch") as self._finishers:
            for layer, result in self._results.items():
                self._report_layer(layer, REUSED, result)
            for layer in self._layers.tasks:
                if layer not in self._results:
                    self._runner.start(("layer", layer), partial(self._start_layer, layer))
            for number, missing in enumerate(self._missing):
                if not missing:
                    self._start_finishing(number)
            for (kind, key), future in self._runner:
                if kind == "layer":
                    self._end_layer(key, future)
                else:
                    self._end_image(key, future)
        images = tuple(self._finished[number] for number in range(len(self._images)))
        return images, tuple(self._described[layer] for layer in self._layers.tasks if layer in self._described)

    # --- layers

    def _start_layer(self, layer: LayerId) -> Future[LayerResult | None]:
        begun = self._started.pop(layer, None)
        return begun or self._settings.executor.submit(make_layer, self._tasks[layer])

    def _end_layer(self, layer: LayerId, future: Future[LayerResult | None]) -> None:
        task = self._tasks[layer]
        try:
            result = future.result()
        except WorkerLost as error:
            lost = OutputError(_name_layer(task), error, "a worker that finishes the layer", hint=_LOST_HINT)
            self._fail_layer(layer, lost)
            return
        except (AuthError, RegistryError) as error:
            error.add_context(_name_layer(task))
            if error.is_transient:
                self._fail_layer(layer, error)
            else:
                self._refuse_layer(layer, task.home, error)
            return
        except Error as error:
            self._fail_layer(layer, error.add_context(_name_layer(task)))
            return
        if result is None:  # another batch makes the layer, so the others come first
            self._wait_for_claim(layer)
            return
        self._results[layer] = result
        self._has_sent |= result.bytes_sent > 0
        self._settings.learn(task, result)
        self._report_layer(layer, MADE if result.is_made else REUSED, result)
        for number in self._layers.users[layer]:
            self._missing[number] -= 1
            if not self._missing[number] and number not in self._finished:
                self._start_finishing(number)

    def _wait_for_claim(self, layer: LayerId) -> None:
        """Start a layer later that another batch makes just now, in the end without regard to claims.

        By the clock of this machine, a claim has ended after some time. If it has not, the clock of another is wrong.
        """
        task, waited = self._tasks[layer], self._waited.get(layer, 0.0)
        if waited > 2 * limit_claim(task.nar_size):
            self._tasks[layer] = replace(task, batch="")
        # So each wait is as long as all waits before it.
        delay = min(max(waited, _FIRST_WAIT), _MAX_WAIT)
        self._waited[layer] = waited + delay
        self._runner.start(("layer", layer), partial(self._start_layer, layer), delay)

    def _fail_layer(self, layer: LayerId, error: Error) -> None:
        self._report_layer(layer, FAILED, None)
        self._fail_images(self._list_users(layer), error)

    def _refuse_layer(self, layer: LayerId, home: BlobHome, error: Error) -> None:
        """Fail the images of a home that refuses a layer. Its other layers go to the homes of images that need them."""
        users = self._list_users(layer)
        self._refusing.add(home)
        is_useless = len(self._refusing) >= _MAX_REFUSING and not self._has_sent
        if is_useless or all(self._images[number].home in self._refusing for number in users):
            self._fail_layer(layer, error)
        else:
            self._fail_images([number for number in users if self._images[number].home == home], error)
        if is_useless:
            return
        for moved, task in self._tasks.items():
            if task.home == home and moved not in self._results:
                self._move_layer(moved)

    def _move_layer(self, layer: LayerId) -> None:
        """Start a layer again, for the home of the first image that needs it and whose home refused none."""
        homes = (self._images[number].home for number in self._list_users(layer))
        if home := next((home for home in homes if home not in self._refusing), None):
            self._runner.drop(("layer", layer))
            self._started.pop(layer, None)
            self._tasks[layer] = replace(self._tasks[layer], home=home)
            self._runner.start(("layer", layer), partial(self._start_layer, layer))

    def _list_users(self, layer: LayerId) -> list[int]:
        """Return the images that need a layer and have not failed."""
        return [number for number in self._layers.users[layer] if number not in self._finished]

    def _fail_images(self, numbers: Iterable[int], error: Error) -> None:
        for number in numbers:
            self._fail_image(number, error.convert(type(error)))

    def _report_layer(self, layer: LayerId, outcome: str, result: LayerResult | None) -> None:
        images = len(self._layers.users[layer])
        described = _describe_layer(layer, self._layers.tasks[layer], images, outcome, result)
        self._described[layer] = described
        self._settings.progress.layer(described)

    # --- images

    def _start_finishing(self, number: int) -> None:
        image = self._images[number]
        results = {layer: self._results[layer] for layer in self._layers.needed[number]}
        finish = partial(self._settings.finish, image, results)
        self._runner.start(("image", number), lambda: self._finishers.submit(finish))

    def _end_image(self, number: int, future: Future[BatchImage]) -> None:
        try:
            image = future.result()
        except Error as error:
            self._fail_image(number, error)
            return
        self._finished[number] = image
        self._settings.progress.image(image)

    def _fail_image(self, number: int, error: Error) -> None:
        """Record the error of an image, and drop the layers that no other image needs any more."""
        name = self._images[number].name
        error.add_context(f"image {name}")
        if self._settings.fails_fast:
            raise error
        failed = BatchImage(name, error)
        self._finished[number] = failed
        self._settings.progress.image(failed)
        for layer in self._layers.needed[number]:
            if layer not in self._results and all(user in self._finished for user in self._layers.users[layer]):
                self._runner.drop(("layer", layer))

    def _report_retry(self, key: _Key, error: BaseException) -> None:
        kind, value = key
        subject = _name_layer(self._layers.tasks[value]) if kind == "layer" else self._images[value].name
        self._settings.progress.retry(subject, error)


def _name_layer(task: LayerTask) -> str:
    sizes = [size for _, _, size in task.inputs.contents]
    return f"layer {summarize_layer_paths(task.paths, sizes)}"


def _describe_layer(
    layer: LayerId, task: LayerTask, images: int, outcome: str, result: LayerResult | None
) -> BatchLayer:
    key, compression = layer
    described = BatchLayer(key, compression, tuple(path.name for path in task.paths), task.nar_size, images, outcome)
    if result is None:
        return described
    return replace(
        described,
        diff_id=result.plain.digest,
        size=result.plain.size,
        digest=result.blob.digest,
        blob_size=result.blob.size,
        bytes_sent=result.bytes_sent,
        seconds=result.seconds,
        worker=result.worker,
    )
