"""Build many images together: every distinct layer is made once, here or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Unpack

from lamina.api.batch_layers import BatchLayers, LayerPlaces
from lamina.api.batch_options import BatchOptions, parse_destination
from lamina.api.batch_planner import BatchPlanner, name_images
from lamina.api.prepared_images import ImagesInPreparation, prepare_images
from lamina.api.sbom import parse_sbom_format
from lamina.compression.compressors import LayerCompression
from lamina.errors import InvalidArgument
from lamina.fleet.batch import Batch, BatchSettings
from lamina.fleet.destinations import BatchDestination
from lamina.fleet.executors import open_executor
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.finish import ImageFinisher, LayerResults
from lamina.fleet.images import PlannedImage
from lamina.fleet.interrupted_layers import WatchedExecutor, release_interrupted
from lamina.fleet.layer_task import LayerResult, LayerTask
from lamina.fleet.results import BatchImage, BatchLayer, BatchProgress, BatchResult
from lamina.fleet.where import parse_where
from lamina.fleet.worker_inputs import find_blob_cache, find_layer_cache
from lamina.images.software import SbomFormat
from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.batch_specs import Specs, load_specs
from lamina.inputs.layer_caches import open_layer_cache
from lamina.inputs.parsers import parse_boolean, parse_jobs, parse_layer_compression
from lamina.layer_cache.cache import LayerCache
from lamina.layers.context import BuildContext
from lamina.system.cpus import cpu_count


def batch(
    specs: Specs,
    *,
    to: str | None = None,
    output: StrPath | None = None,
    on: str = "local",
    client: object | None = None,
    fail_fast: bool = False,
    sbom: SbomFormat | None = None,
    provenance: bool = False,
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
        sbom: the format of a software bill of materials to attach to each image, as in `push_layered_image`.
        provenance: whether to attach the provenance of each image, as in `push_layered_image`.
        progress: receives the progress.
        **arguments: those of `ImageArguments`, for all images. They take precedence over spec files; if ``specs`` has
            the arguments of images itself, those of an image take precedence over them.

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
        sbom=None if sbom is None else parse_sbom_format("sbom", sbom),
        has_provenance=parse_boolean("provenance", provenance),
    )
    loaded = load_specs(specs, arguments)
    return batch_tables(loaded.picked, options, loaded.others)


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
    named: dict[str, ImageArguments] = {
        name: {**arguments, "name": names[name][0], "tag": names[name][1]} for name, arguments in tables.items()
    }
    with ExitStack() as resources:
        fingerprint = Fingerprint.of_this_process(_list_compressions(tables, options.destination))
        prepared = resources.enter_context(prepare_images(named, warnings, siblings=siblings))
        layer_cache = resources.enter_context(_open_layer_cache(prepared, warnings))
        interrupted = resources.enter_context(release_interrupted(layer_cache))
        workers = resources.enter_context(open_executor(options.where, options.client, fingerprint))
        options.progress.connect(workers.description, workers.dashboard)
        options.progress.prepare(len(tables))
        planner = BatchPlanner(names, options, workers, resources)
        executor = WatchedExecutor(workers.executor, interrupted)
        places = _find_places(prepared, executor, fingerprint, layer_cache, on_cluster=workers.is_remote)
        begun = BatchLayers(places)
        begun.begin(list(planner.declare(prepared.declare())))
        planned, failed = planner.plan(prepared)
        made, layers = _run(planned, begun, places, options, warnings)
    images = {image.name: image for image in (*failed, *made)}
    seconds = time.monotonic() - began
    return BatchResult(
        tuple(images[name] for name in tables), layers, seconds, workers.description, tuple(dict.fromkeys(warnings))
    )


def _list_compressions(tables: Mapping[str, ImageArguments], destination: BatchDestination) -> set[LayerCompression]:
    """Return how the layers of the images are compressed."""
    given = [arguments.get("layer_compression") for arguments in tables.values()]
    return {parse_layer_compression("layer_compression", text) or destination.compression for text in given}


def _open_layer_cache(prepared: ImagesInPreparation, warnings: list[str]) -> AbstractContextManager[LayerCache]:
    """Open the layer cache of the batch, which is that of the first image."""
    (name, _), spec = next(iter(prepared.specs.items()))
    if len({(each.layer_cache, each.blob_cache) for each in prepared.specs.values()}) > 1:
        warnings.append(f"the images have different caches; the layers of the batch use those of image {name}")
    return open_layer_cache(spec.layer_cache, warnings, local=spec.local_layer_cache, offline=spec.offline)


def _find_places(
    prepared: ImagesInPreparation,
    executor: Executor,
    fingerprint: Fingerprint,
    layer_cache: LayerCache,
    *,
    on_cluster: bool,
) -> LayerPlaces:
    """Return the places of the layers, whose caches are those of the first image."""
    spec = next(iter(prepared.specs.values()))
    return LayerPlaces(
        executor,
        fingerprint,
        layer_cache,
        find_layer_cache(spec, on_cluster=on_cluster),
        find_blob_cache(spec, on_cluster=on_cluster),
        spec.offline,
    )


def _run(
    images: list[PlannedImage],
    begun: BatchLayers,
    places: LayerPlaces,
    options: BatchOptions,
    warnings: list[str],
) -> tuple[tuple[BatchImage, ...], tuple[BatchLayer, ...]]:
    """Make the layers of the images, and finish these."""
    needed = begun.complete([image.needs for image in images])
    if not images:
        return (), ()
    settings = BatchSettings(
        places.executor,
        partial(_finish, options.destination.make_finisher(BuildContext(places.layer_cache, verify=images[0].verify))),
        partial(_learn, places.layer_cache, warnings),
        options.rules,
        options.progress,
        options.fail_fast,
    )
    return Batch(images, needed.distinct, needed.known, settings, needed.started).run()


def _finish(finisher: ImageFinisher, image: PlannedImage, layers: LayerResults) -> BatchImage:
    finished = finisher.finish(image, layers)
    for draft in image.drafts:
        draft.close()
    return finished


def _learn(layer_cache: LayerCache, warnings: list[str], task: LayerTask, made: LayerResult) -> None:
    """Write what a worker learnt to the layer cache, unless the worker did, and take its warnings.

    It is written at once, so that a batch continues after this process was killed.
    """
    warnings += made.warnings
    if task.layer_cache.place is None:
        layer_cache.put_layer(task.inputs, made.plain)
        if made.blob != made.plain:
            identity = LayerCompression.parse(task.compression).identity
            layer_cache.put_compressed(made.plain.digest, identity, made.blob)
        layer_cache.flush()
