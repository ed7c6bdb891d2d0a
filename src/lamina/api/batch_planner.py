"""Plan the images of a batch: what they are called, where their layers go, and what is attached to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import groupby

from lamina.api.batch_options import BatchOptions
from lamina.api.prepared_images import DeclaredImage, FailedImage, PreparedImage
from lamina.core.names import is_repository_path, parse_tag
from lamina.errors import Error, InvalidArgument, error_context
from lamina.fleet.destinations import BatchDestination
from lamina.fleet.executors import BatchExecutor
from lamina.fleet.images import ImageLayers, PlannedImage
from lamina.fleet.results import BatchImage
from lamina.fleet.worker_inputs import find_sources
from lamina.formats.image_names import LATEST
from lamina.images.attachments import DescribeImage, describe_nothing
from lamina.inputs.arguments import ImageArguments
from lamina.inputs.parsers import parse_text
from lamina.inputs.spec import Spec
from lamina.layers.layer import make_layer_inputs
from lamina.messages.redaction import short_repr


def name_images(tables: Mapping[str, ImageArguments], destination: BatchDestination) -> dict[str, tuple[str, str]]:
    """Return the repository and the tag of each image.

    Raises:
        InvalidArgument: a name cannot be one in a registry, or two images have the same name and tag.

    """
    found: dict[tuple[str, str], str] = {}
    for name, arguments in tables.items():
        with error_context(f"image {name}", InvalidArgument):
            repository = parse_text("name", arguments.get("name") or name.rpartition("#")[2])
            tag = parse_tag(parse_text("tag", arguments.get("tag") or LATEST))
            if not is_repository_path(repository):
                raise InvalidArgument("name", short_repr(repository), "a name in lower case, without a registry")
            destination.make_reference(repository, tag)
            if other := found.get((repository, tag)):
                raise InvalidArgument("name", f"{repository}:{tag}, as image {other}", "a name or tag of its own")
        found[repository, tag] = name
    return {name: key for key, name in found.items()}


class BatchPlanner:
    """Plans the images of a batch, once they are prepared.

    Args:
        names: the repository and the tag of each image.
        options: how the batch is run.
        workers: what makes the layers.
        resources: closes the drafts.
    """

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

    def declare(self, images: Iterable[DeclaredImage]) -> Iterator[ImageLayers]:
        """Yield the layers that images will probably need. An image with a wrong argument is left out here."""
        for image in images:
            with suppress(InvalidArgument):
                yield self._declare_layers(image)

    def _declare_layers(self, image: DeclaredImage) -> ImageLayers:
        spec = image.spec
        self._check_network(spec)
        repository, _ = self._names[image.name]
        inputs = (
            make_layer_inputs(plan, spec.owner, int(spec.mtime.timestamp())) for plan in image.plans if spec.mtime
        )
        return ImageLayers(
            tuple(filter(None, inputs)),
            spec.layer_compression or self._options.destination.compression,
            find_sources(spec, on_cluster=self._workers.is_remote),
            self._options.destination.find_home(repository, insecure=spec.insecure),
            spec.verify,
        )

    def plan(self, prepared: Iterable[PreparedImage | FailedImage]) -> tuple[list[PlannedImage], list[BatchImage]]:
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
        prepared: list[PreparedImage] = []
        for image in platforms:
            if isinstance(image, FailedImage):
                raise image.error.add_context(image.platform) if image.platform else image.error
            self._resources.callback(image.draft.close)
            prepared.append(image)
        first, destination = prepared[0], self._options.destination
        spec = first.spec
        self._check_network(spec)
        repository, tag = self._names[first.name]
        warnings = [_name_platform(text, image) for image in prepared for text in image.warnings]
        return PlannedImage(
            first.name,
            tuple(image.draft for image in prepared),
            spec.layer_compression or destination.compression,
            find_sources(spec, on_cluster=self._workers.is_remote),
            destination.find_home(repository, insecure=spec.insecure),
            destination.make_reference(repository, tag),
            spec.media_types,
            spec.verify,
            spec.insecure,
            tuple(self._describe(image, warnings.append) for image in prepared),
            warnings,
        )

    def _check_network(self, spec: Spec) -> None:
        if spec.offline and self._options.destination.is_registry:
            hint = "write an OCI layout instead"
            raise InvalidArgument("offline", "true and a registry", "a registry, or no network", hint=hint)

    def _describe(self, image: PreparedImage, warn: Callable[[str], object]) -> DescribeImage:
        """Return what makes the documents that are attached to an image."""
        options = self._options
        if not (options.sbom or options.has_provenance):
            return describe_nothing
        from lamina.api.attachments import describe_draft

        return describe_draft(image.draft, image.spec, options.sbom, warn, provenance=options.has_provenance)


def _name_platform(text: str, image: PreparedImage) -> str:
    return f"{image.platform}: {text}" if image.platform else text
