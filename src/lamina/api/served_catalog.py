"""The images that `lamina serve` serves: those of a spec file, and those of the packages that a name lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lamina.api.image_index import IndexStream, stream_image_index
from lamina.api.images import stream_layered_image
from lamina.api.stream import Stream
from lamina.builder.architecture import detect_closure_architecture
from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION
from lamina.core.callbacks import ignore
from lamina.core.names import is_repository_path, parse_tag
from lamina.errors import Error, InvalidArgument, NotFound, error_context
from lamina.formats.image_names import LATEST
from lamina.formats.media_types import OCI
from lamina.inputs.arguments import ImageArguments
from lamina.inputs.blob_caches import BlobCaches
from lamina.inputs.layer_caches import open_spec_layer_cache
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.platforms import expand_platforms
from lamina.inputs.served_names import ServedName
from lamina.inputs.siblings import Siblings
from lamina.inputs.spec import Spec
from lamina.inputs.stores import open_store
from lamina.layer_cache.key import LayerInputs
from lamina.layers.context import BuildContext
from lamina.messages.redaction import short_repr
from lamina.messages.sizes import format_size
from lamina.server.blob_files import BlobFiles
from lamina.server.error_documents import RequestRefused
from lamina.server.served_image import MakingSettings, ServedImage, make_image
from lamina.system.cpus import cpu_count

ImageKey = tuple[str, str]
"""The name of a repository and a tag."""


@dataclass(frozen=True, slots=True)
class ImageCatalog:
    """Makes images of arguments. It is a `lamina.server.images_on_demand.Catalog`.

    Attributes:
        images: the arguments of the images that have a name of their own.
        by_name: the arguments that all images of packages have in common.
        allowed: patterns of the packages that a name may list; none for no images of packages.
        files: the blobs that were made lately.
        max_size: how many bytes the store paths of an image may have; None for any number.
        warn: is called with the text of each warning about an image that was made.
        blob_caches: those of all images, which keep compressed layers for other servers and later runs.
    """

    images: Mapping[ImageKey, ImageArguments]
    by_name: ImageArguments = field(repr=False)
    allowed: Sequence[str]
    files: BlobFiles
    max_size: int | None = None
    warn: Callable[[str], object] = ignore
    blob_caches: BlobCaches = field(default_factory=lambda: BlobCaches(ignore), repr=False)

    def list_tags(self, repository: str) -> Sequence[str] | None:
        """Return the tags of an image; those of packages have the tag ``latest``. Raises `RequestRefused`."""
        tags = [tag for name, tag in self.images if name == repository]
        if tags or not self.allowed:
            return tags or None
        if not ServedName.parse(repository).is_allowed(self.allowed):
            raise RequestRefused(403, "DENIED", f"{repository} names packages that this server does not serve")
        return [LATEST]

    def make(self, repository: str, tag: str) -> ServedImage:
        """Make an image. Raises `lamina.Error`, and `RequestRefused` if it is too large."""
        own = _renew(self.images.get((repository, tag)))
        with ExitStack() as resources:
            stream = _open_stream(own) if own else self._open_packages(repository)
            resources.callback(stream.close)
            is_index = isinstance(stream, IndexStream)
            streams = stream.streams if isinstance(stream, IndexStream) else (stream,)
            self._check_size(repository, streams)
            spec = streams[0].spec
            settings = MakingSettings(
                spec.layer_compression or REGISTRY_LAYER_COMPRESSION,
                self.files,
                spec.jobs or cpu_count(),
                partial(_forget_layer, spec),
            )
            warnings = list(stream.warnings)
            blobs = self.blob_caches.find(spec)
            with open_spec_layer_cache(spec, warnings) as layer_cache:
                context = BuildContext(layer_cache, settings.jobs, spec.verify, blobs=blobs)
                image = make_image([one.draft for one in streams], context, settings, stream, is_index=is_index)
            resources.pop_all()
        for text in warnings:
            self.warn(f"{repository}:{tag}: {text}")
        return image

    def _open_packages(self, repository: str) -> Stream | IndexStream:
        """Prepare the image of the packages that the name of a repository lists, or one for each platform.

        Raises `NotFound` if the store has the packages for none of the platforms.
        """
        named = ServedName.parse(repository)
        arguments: ImageArguments = {
            **self.by_name,
            "contents": named.packages,
            "name": repository,
            "tag": LATEST,
        }
        if named.architecture:
            arguments["architecture"] = named.architecture
            arguments.pop("platforms", None)
        images = expand_platforms(arguments)
        if len(images) > 1:
            return _open_found_platforms(repository, images)
        (expanded,) = images.values()
        return _open_for_architecture(repository, expanded)

    def _check_size(self, repository: str, streams: Sequence[Stream]) -> None:
        size = sum(layer.weight for stream in streams for layer in stream.draft.layers)
        if self.max_size is not None and size > self.max_size:
            text = f"{repository} has {format_size(size)}, and this server makes images of at most "
            raise RequestRefused(403, "DENIED", text + format_size(self.max_size))


def _renew(arguments: ImageArguments | None) -> ImageArguments | None:
    """Return ``arguments`` with siblings that are looked up again, because links may lead elsewhere by now."""
    siblings = arguments.get("siblings") if arguments else None
    if arguments is None or not isinstance(siblings, Siblings):
        return arguments
    renewed: Any = siblings.ask_again()
    return {**arguments, "siblings": renewed}


def name_images(tables: Mapping[str, ImageArguments], warnings: list[str]) -> dict[ImageKey, ImageArguments]:
    """Return the arguments of images by their repository and tag, after checking them.

    An image has the ``name`` and the ``tag`` of its arguments; by default the name of its table, and ``latest``.

    Args:
        tables: the arguments, by the names of their tables.
        warnings: receives messages.

    Raises:
        InvalidArgument: an argument is wrong, or two images have one name and tag.
        StoreError: a store cannot be read.
        Error: a lock file cannot be read.

    """
    images: dict[ImageKey, ImageArguments] = {}
    for table, arguments in tables.items():
        with error_context(f"image {table}", Error):
            key = _check_name(arguments.get("name") or table), parse_tag(arguments.get("tag") or LATEST)
            if key in images:
                raise InvalidArgument("name", f"{key[0]}:{key[1]}, as another image", "a name or tag of its own")
            named: ImageArguments = {**arguments, "name": key[0], "tag": key[1]}
            check_image(named, warnings)
            images[key] = named
    return images


def check_image(arguments: ImageArguments, warnings: list[str]) -> None:
    """Check the arguments of an image, and open its stores once, so that a wrong one is noticed before a pull.

    ``warnings`` receives messages. Raises what `name_images` raises, and `StoreError`.
    """
    for expanded in expand_platforms(arguments).values():
        spec = pin_base_image(Spec.parse(expanded), warnings)
        if spec.media_types not in (None, OCI):
            raise InvalidArgument("media_types", spec.media_types.name, "oci, which lamina serve makes")
        with open_store(spec, spec.embedded_store, warnings):
            pass


def _check_name(name: str) -> str:
    if not is_repository_path(name):
        raise InvalidArgument("name", short_repr(name), "a name in lower case, without the address of a registry")
    return name


def _open_for_architecture(repository: str, arguments: Mapping[str, Any]) -> Stream:
    """Prepare an image of packages, all of which must be for the architecture in the arguments, if there is one.

    Raises `NotFound` if they are for another one. Their image would be for the wrong machines, and no client would see
    a warning.
    """
    wanted = arguments.get("architecture") or ""
    with ExitStack() as resources:
        stream = resources.enter_context(stream_layered_image(**arguments))
        for content in stream.draft.inputs.contents if wanted else ():
            found = detect_closure_architecture(content.path, stream.draft.store)
            if found and found != wanted.partition("/")[0]:
                raise NotFound(repository, f"packages with programs for {found}", f"some for {wanted}")
        resources.pop_all()
    return stream


def _open_found_platforms(repository: str, images: Mapping[str, Mapping[str, Any]]) -> IndexStream:
    """Prepare the images for those platforms for which a store has the packages. Raises `NotFound` if it has none."""
    streams: dict[str, Stream] = {}
    missing: list[NotFound] = []
    with ExitStack() as resources:
        for platform, arguments in images.items():
            try:
                streams[platform] = resources.enter_context(_open_for_architecture(repository, arguments))
            except NotFound as error:
                missing.append(error)
        if not streams:
            raise missing[0]
        kept = resources.pop_all()
    return IndexStream(streams, kept.close, 0.0)


def _open_stream(arguments: ImageArguments) -> Stream | IndexStream:
    if len(expand_platforms(arguments)) > 1:
        return stream_image_index(**arguments)
    return stream_layered_image(**arguments)


def _forget_layer(spec: Spec, key: LayerInputs) -> None:
    """Remove the entry of a layer that turned out to be wrong."""
    with open_spec_layer_cache(spec, []) as opened:
        opened.remove_layer(key)
