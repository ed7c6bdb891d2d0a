"""Build many images together: every distinct layer is made once, here or on a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Unpack

from lamina.api.prepared_images import FailedImage, PreparedImage, prepare_images
from lamina.compression.compressors import LayerCompression
from lamina.core.names import is_repository_path, parse_tag
from lamina.errors import Error, InvalidArgument, error_context
from lamina.fleet.batch import Batch, BatchSettings
from lamina.fleet.destinations import BatchDestination, LayoutFolder, RegistryPrefix
from lamina.fleet.executors import BatchExecutor, open_executor
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.finish import ImageFinisher, LayerResults
from lamina.fleet.images import PlannedImage, collect_layers
from lamina.fleet.known_layers import find_known_layers
from lamina.fleet.layer_task import LayerResult, LayerTask
from lamina.fleet.results import BatchImage, BatchLayer, BatchProgress, BatchResult
from lamina.fleet.task_runner import DEFAULT_RULES, RetryRules
from lamina.fleet.where import Where, parse_where
from lamina.fleet.worker_inputs import find_layer_cache, find_sources
from lamina.formats.image_names import LATEST
from lamina.images.image import Draft
from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.batch_specs import Specs, load_specs
from lamina.inputs.layer_caches import open_layer_cache
from lamina.inputs.parsers import parse_boolean, parse_jobs, parse_layer_compression, parse_path, parse_text
from lamina.inputs.spec import Spec
from lamina.layer_cache.cache import LayerCache
from lamina.layers.context import BuildContext
from lamina.messages.redaction import short_repr
from lamina.system.cpus import cpu_count


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is run.

    Attributes:
        destination: where the images go.
        where: where the layers are made.
        client: a client of a Dask cluster that the caller made, or None.
        fail_fast: whether the first error ends the batch.
        progress: receives the progress.
        rules: how often a layer is tried.
    """

    destination: BatchDestination
    where: Where
    client: object | None = None
    fail_fast: bool = False
    progress: BatchProgress = field(default_factory=BatchProgress)
    rules: RetryRules = DEFAULT_RULES


def batch(
    specs: Specs,
    *,
    to: str | None = None,
    output: StrPath | None = None,
    on: str = "local",
    client: object | None = None,
    fail_fast: bool = False,
    progress: BatchProgress | None = None,
    **arguments: Unpack[ImageArguments],
) -> BatchResult:
    """Build many images; every distinct layer is made once, sent once, and mounted elsewhere.

    Images whose arguments name no ``layering`` are planned together, so that they share layers.

    Args:
        specs: spec files, each as ``FILE`` or ``FILE#NAME``; or the arguments of images, by names for them.
        to: the prefix of a registry, such as ``ghcr.io/me``. An image gets the name and the tag of its arguments below
            it; by default that of its table, and ``latest``.
        output: an OCI layout for all images, instead of ``to``.
        on: where layers are made: ``local`` or ``local:N`` for worker processes of this machine, or the address of the
            scheduler of a Dask cluster, such as ``tcp://10.0.0.1:8786``.
        client: a ``distributed.Client`` whose cluster makes the layers, instead of ``on``.
        fail_fast: whether the first error ends the batch. Otherwise the other images are built, and the errors are in
            the result.
        progress: receives the progress.
        **arguments: those of `ImageArguments`, for all images. An argument of an image takes precedence.

    Returns:
        The images, each with its digests or its error, the distinct layers, and what they took.

    Raises:
        InvalidArgument: an argument is wrong, or two images have the same name and tag.
        InputError: a spec file is missing, or cannot be read.
        FormatError: a spec file does not follow its format.
        OutputError: the cluster cannot be reached, or its workers have other versions than this machine.
        RegistryError: the registry failed before the first layer was made.
        AuthError: the registry refuses the credentials, or wants some.
        Error: the first error of an image, if the batch fails fast.

    """
    options = BatchOptions(
        parse_destination(to, output, insecure=parse_boolean("insecure", arguments.get("insecure", False))),
        parse_where("on", on, parse_jobs("jobs", arguments.get("jobs")) or cpu_count()),
        client,
        parse_boolean("fail_fast", fail_fast),
        progress or BatchProgress(),
    )
    return batch_tables({name: {**arguments, **table} for name, table in load_specs(specs).items()}, options)


def parse_destination(to: str | None, output: StrPath | None, *, insecure: bool = False) -> BatchDestination:
    """Return the destination of a batch. Raises `InvalidArgument` unless exactly one argument names it."""
    if (to is None) == (output is None):
        raise InvalidArgument("to", "both or neither of to and output", "one of them, to say where the images go")
    if to is not None:
        return RegistryPrefix.parse(parse_text("to", to), insecure=insecure)
    return LayoutFolder(Path(os.path.abspath(parse_path("output", output) or "")))


def batch_tables(
    tables: Mapping[str, ImageArguments],
    options: BatchOptions,
    siblings: Mapping[str, ImageArguments] | None = None,
) -> BatchResult:
    """Build the images of ``tables`` as `batch` does.

    Args:
        tables: the arguments of the images, by names for them.
        options: how the batch is run.
        siblings: the arguments of images that are not built, but planned together with the others.

    Raises what `batch` raises.
    """
    if not tables:
        raise InvalidArgument("specs", "none", "the images to build")
    began, warnings = time.monotonic(), list[str]()
    names = name_images(tables, options.destination)
    with ExitStack() as resources:
        fingerprint = Fingerprint.of_this_process(_list_compressions(tables, options.destination))
        workers = resources.enter_context(open_executor(options.where, options.client, fingerprint))
        options.progress.connect(workers.description, workers.dashboard)
        options.progress.prepare(len(tables))
        prepared = resources.enter_context(prepare_images(tables, warnings, siblings=siblings))
        planner = _Planner(names, options, workers, resources)
        planned, failed = planner.plan(prepared)
        made, layers = _run(planned, planner.specs, options, workers, fingerprint, warnings)
    images = {image.name: image for image in (*failed, *made)}
    seconds = time.monotonic() - began
    return BatchResult(
        tuple(images[name] for name in tables), layers, seconds, workers.description, tuple(dict.fromkeys(warnings))
    )


def name_images(tables: Mapping[str, ImageArguments], destination: BatchDestination) -> dict[str, tuple[str, str]]:
    """Return the repository and the tag of each image.

    Raises:
        InvalidArgument: a name cannot be one in a registry, or two images have the same name and tag.

    """
    found: dict[tuple[str, str], str] = {}
    for name, arguments in tables.items():
        with error_context(f"image {name}", InvalidArgument):
            repository = arguments.get("name") or name.rpartition("#")[2]
            tag = parse_tag(arguments.get("tag") or LATEST)
            if not is_repository_path(repository):
                raise InvalidArgument("name", short_repr(repository), "a name in lower case, without a registry")
            destination.make_reference(repository, tag)
            if other := found.get((repository, tag)):
                raise InvalidArgument("name", f"{repository}:{tag}, as image {other}", "a name or tag of its own")
        found[repository, tag] = name
    return {name: key for key, name in found.items()}


def _list_compressions(tables: Mapping[str, ImageArguments], destination: BatchDestination) -> set[LayerCompression]:
    """Return how the layers of the images are compressed."""
    given = {arguments.get("layer_compression") for arguments in tables.values()}
    return {parse_layer_compression("layer_compression", text) or destination.compression for text in given}


class _Planner:
    """Makes the images of a batch of what was prepared."""

    def __init__(
        self,
        names: Mapping[str, tuple[str, str]],
        options: BatchOptions,
        workers: BatchExecutor,
        resources: ExitStack,
    ) -> None:
        self._names = names
        self._options = options
        self._workers = workers
        self._resources = resources
        self.specs: list[Spec] = []
        """The spec of each image that can be built."""

    def plan(self, prepared: Iterator[PreparedImage | FailedImage]) -> tuple[list[PlannedImage], list[BatchImage]]:
        """Return the images that can be built, and those that failed.

        Raises the first error if the batch fails fast.
        """
        planned: list[PlannedImage] = []
        failed: list[BatchImage] = []
        for name, group in groupby(prepared, key=lambda image: image.name):
            self._options.progress.prepared(name)
            try:
                planned.append(self._plan_image(list(group)))
            except Error as error:
                error.add_context(f"image {name}")
                if self._options.fail_fast:
                    raise
                failed.append(BatchImage(name, error))
                self._options.progress.image(failed[-1])
        return planned, failed

    def _plan_image(self, platforms: list[PreparedImage | FailedImage]) -> PlannedImage:
        drafts, specs = [], []
        for image in platforms:
            if isinstance(image, FailedImage):
                raise image.error.add_context(image.platform) if image.platform else image.error
            self._resources.callback(image.draft.close)
            drafts.append(image.draft)
            specs.append(image.spec)
        spec, destination = specs[0], self._options.destination
        repository, tag = self._names[platforms[0].name]
        planned = PlannedImage(
            platforms[0].name,
            tuple(_name_draft(draft, repository, tag) for draft in drafts),
            spec.layer_compression or destination.compression,
            find_sources(spec, on_cluster=self._workers.is_remote),
            destination.find_home(repository),
            destination.make_reference(repository, tag),
            spec.media_types,
            spec.verify,
            spec.insecure,
        )
        self.specs.append(spec)
        return planned


def _name_draft(draft: Draft, repository: str, tag: str) -> Draft:
    return replace(draft, settings=replace(draft.settings, repository=repository, tag=tag))


def _run(
    images: list[PlannedImage],
    specs: list[Spec],
    options: BatchOptions,
    workers: BatchExecutor,
    fingerprint: Fingerprint,
    warnings: list[str],
) -> tuple[tuple[BatchImage, ...], tuple[BatchLayer, ...]]:
    """Make the layers of the images, and finish these."""
    if not images:
        return (), ()
    spec = specs[0]
    place = find_layer_cache(spec, on_cluster=workers.is_remote)
    layers = collect_layers(images, place, fingerprint, offline=spec.offline)
    with open_layer_cache(
        spec.layer_cache, warnings, local=spec.local_layer_cache, offline=spec.offline
    ) as layer_cache:
        known = find_known_layers(layers.tasks.values(), layer_cache)
        finisher = options.destination.make_finisher(BuildContext(layer_cache, verify=spec.verify))
        settings = BatchSettings(
            workers.executor,
            partial(_finish, finisher),
            partial(_learn, layer_cache),
            options.rules,
            options.progress,
            options.fail_fast,
        )
        return Batch(images, layers, known, settings).run()


def _finish(finisher: ImageFinisher, image: PlannedImage, layers: LayerResults) -> BatchImage:
    finished = finisher.finish(image, layers)
    for draft in image.drafts:
        draft.close()
    return finished


def _learn(layer_cache: LayerCache, task: LayerTask, made: LayerResult) -> None:
    """Write what a worker learnt to the layer cache, unless the worker did."""
    if task.layer_cache.place is None:
        layer_cache.put_layer(task.inputs, made.plain)
        if made.blob != made.plain:
            identity = LayerCompression.parse(task.compression).identity
            layer_cache.put_compressed(made.plain.digest, identity, made.blob)
