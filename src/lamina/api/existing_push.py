"""The public functions that push images that exist to registries: one image, or those for all platforms.

Credentials are those that docker and podman have. Every error is a `lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

from lamina.api.attachments import describe_existing
from lamina.api.existing_images import open_existing
from lamina.api.push_settings import ExistingPushOptions, PushSettings
from lamina.api.registry import open_push, parse_caches
from lamina.api.sbom import open_sbom_store
from lamina.core.names import ImageReference
from lamina.core.progress import Progress, check_progress
from lamina.errors import InvalidArgument
from lamina.formats.platform import Platform
from lamina.images.merge_index import FoundImage, gather_platforms
from lamina.images.readers import select
from lamina.images.readers.platforms import select_platforms
from lamina.images.readers.source_image import InspectedImage
from lamina.images.registry_destination import RegistryDestination
from lamina.images.software import SbomFormat
from lamina.images.writers.push_result import RegistryPushResult
from lamina.images.writers.registry import RegistryWriter
from lamina.images.writers.registry_copies import push_platforms
from lamina.images.writers.registry_index import IndexPushResult
from lamina.inputs.arguments import StoreArguments, StrPath
from lamina.inputs.layer_caches import open_layer_cache
from lamina.inputs.parsers import parse_boolean
from lamina.inputs.registry_names import References
from lamina.layers.context import BuildContext

_PROVENANCE_HINT = "lamina does not know how an image that exists was made; push the ROOTs that it was made of"


def push_image(
    image: StrPath,
    *,
    to: References,
    cache_from: References | None = (),
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    jobs: int | None = None,
    verify: bool = False,
    insecure: bool = False,
    sbom: SbomFormat | None = None,
    provenance: bool = False,
    embedded_store: StrPath | None = None,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> RegistryPushResult:
    """Push an image from a file, an OCI layout or a registry to registries; only the blobs that they lack are sent.

    The image keeps its ID. Compressed layers are sent as they are, and so is the manifest of a layout all of whose
    layers are compressed; other layers are compressed. An image from a registry is copied without a change.

    Args:
        image: a file or folder, or ``FILE#NAME`` for one of several images in it; or a reference.
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: references to images whose blobs may be mounted. By default the images that ``to`` names now. None
            to use no image.
        platform: push the image for this platform, such as ``linux/arm64``; needed if there are several.
        max_unpacked_size: as in `inspect`.
        layer_compression: the compression of layers that are not compressed: ``none``, ``gzip`` or ``zstd``,
            optionally with ``:LEVEL``. By default ``gzip``.
        media_types: ``oci`` or ``docker``. By default those of an OCI layout stay as they are, and other images get
            OCI's. An image from a registry keeps its own.
        layer_cache: the file or URL that keeps what is learnt about layers. By default there is none.
        local_layer_cache: the file that stands in front of a ``layer_cache`` with a URL.
        jobs: the number of processors to use. By default all that this process may use.
        verify: whether to read and check the whole file before anything is sent. By default only the documents are
            read, and each layer that is sent is compared with its digest.
        insecure: whether a registry on another machine may be used over plain HTTP.
        sbom: the format of a software bill of materials that is attached to the image, as in `push_layered_image`; its
            contents are those of `image_sbom`, so hashes and references need a ``store``.
        provenance: must be false, because lamina does not know how an image that exists was made.
        embedded_store: as in `image_sbom`.
        progress: receives the progress: of the layers that have to be read first, if there are some, and of the push.
        **sources: those of `StoreArguments`, which the software bill of materials uses.

    Returns:
        The image, with the digests of its layers and of its manifest, and what pushing it took. The size of a
        compressed layer that was not unpacked is that of its blob.

    Raises:
        InvalidArgument: an argument is wrong.
        NotFound: there are several images, or none of that name.
        RegistryError: a registry failed, or refused something.
        AuthError: a registry refuses the credentials, or wants some.
        Error: what `inspect` raises.

    """
    options: ExistingPushOptions = {
        "cache_from": cache_from,
        "max_unpacked_size": max_unpacked_size,
        "layer_compression": layer_compression,
        "media_types": media_types,
        "layer_cache": layer_cache,
        "local_layer_cache": local_layer_cache,
        "jobs": jobs,
        "verify": verify,
        "insecure": insecure,
        "sbom": sbom,
        "provenance": provenance,
        "embedded_store": embedded_store,
    }
    with _open_push([image], to, platform, options, sources, progress) as push:
        return push.push_single(image)


def push_index(
    images: StrPath | Sequence[StrPath],
    *,
    to: References,
    cache_from: References | None = (),
    max_unpacked_size: int | str | None = None,
    layer_compression: str | None = None,
    media_types: str | None = None,
    layer_cache: StrPath | None = None,
    local_layer_cache: StrPath | None = None,
    jobs: int | None = None,
    verify: bool = False,
    insecure: bool = False,
    sbom: SbomFormat | None = None,
    embedded_store: StrPath | None = None,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> IndexPushResult:
    """Push images that exist for several platforms to registries, and last the index that lists them.

    An index is pushed as it is, with all that it lists, if no layer has to be compressed: its digest stays the same,
    and attestations are pushed too. Otherwise, and for images of several files or references, a new index is made.
    Images keep their IDs and, where they can, their manifests. No tag moves before all images are in all registries.

    Args:
        images: an image for several platforms, in a file, an OCI layout or a registry; or a list of images, each for
            other platforms. ``FILE#NAME`` stands for one of several images in a file.
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: as in `push_image`, and so are all other arguments.
        max_unpacked_size: as in `inspect`.
        layer_compression: the compression of layers that are not compressed; ``gzip`` by default.
        media_types: ``oci`` or ``docker``.
        layer_cache: the file or URL that keeps what is learnt about layers. By default there is none.
        local_layer_cache: the file that stands in front of a ``layer_cache`` with a URL.
        jobs: the number of processors to use.
        verify: whether to read and check the whole files before anything is sent.
        insecure: whether a registry on another machine may be used over plain HTTP.
        sbom: the format of a software bill of materials that is attached to each image.
        embedded_store: as in `image_sbom`.
        progress: receives the progress of each image.
        **sources: those of `StoreArguments`, which the software bill of materials uses.

    Returns:
        The images and the index, and what pushing them took. A single image without an index gets none: the digest is
        then that of its manifest.

    Raises:
        InvalidArgument: an argument is wrong, or two images are for the same platform.
        NotFound: a file has several images of different names, or none of that name.
        IntegrityError: an image has another platform than its index states.
        FormatError: an index lists something that is missing.
        RegistryError: a registry failed, or refused something.
        AuthError: a registry refuses the credentials, or wants some.
        Error: what `inspect` raises.

    """
    options: ExistingPushOptions = {
        "cache_from": cache_from,
        "max_unpacked_size": max_unpacked_size,
        "layer_compression": layer_compression,
        "media_types": media_types,
        "layer_cache": layer_cache,
        "local_layer_cache": local_layer_cache,
        "jobs": jobs,
        "verify": verify,
        "insecure": insecure,
        "sbom": sbom,
        "embedded_store": embedded_store,
    }
    pushed = push_whole(images, to=to, options=options, sources=sources, progress=progress)
    if isinstance(pushed, IndexPushResult):
        return pushed
    return IndexPushResult((pushed,), pushed.manifest_digest, pushed.references, pushed.seconds, pushed.warnings)


def push_whole(
    images: StrPath | Sequence[StrPath],
    *,
    to: References,
    options: ExistingPushOptions,
    sources: StoreArguments,
    progress: Progress | None = None,
) -> RegistryPushResult | IndexPushResult:
    """Push images as `push_index` does; return the image itself if there is only one, without an index."""
    listed = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    if not listed:
        raise InvalidArgument("images", "none", "at least one")
    with _open_push(listed, to, None, options, sources, progress) as push:
        return push.push_all(listed[0] if len(listed) == 1 else None)


class _OpenedPush:
    """Images that are open, and what they are pushed with."""

    def __init__(
        self,
        found: tuple[FoundImage, ...],
        destination: AbstractContextManager[RegistryDestination],
        make_writer: Callable[[RegistryDestination, InspectedImage, bool], RegistryWriter],
        settings: PushSettings,
        progress: Progress | None,
        warnings: list[str],
    ) -> None:
        self._found = found
        self._destination = destination
        self._make_writer = make_writer
        self._settings = settings
        self._progress = progress
        self._warnings = warnings
        self._began = time.monotonic()

    def push_single(self, image: StrPath) -> RegistryPushResult:
        """Push the only image; raise `NotFound` if there are several."""
        subject, hint = _describe_choice(image)
        chosen = select.select_single([found.described for found in self._found], subject, hint)
        (found,) = (found for found in self._found if found.described is chosen)
        with self._destination as destination:
            pushed = found.image.push(self._make_writer(destination, found.described, True))
        return replace(pushed, **self._measure(pushed.warnings))

    def push_all(self, image: StrPath | None) -> RegistryPushResult | IndexPushResult:
        """Push all images under one name; ``image`` is where they are from, if that is one place."""
        settings, chosen_name = self._settings, None
        if image is not None:
            described = [found.described for found in self._found]
            select_platforms(described, *_describe_choice(image))
            chosen_name = self._found[0].chosen_name
        first = settings.targets[0]
        name = ImageReference(first.name, first.tag)
        distinct = list({found.described.digest: found for found in self._found}.values())
        images = gather_platforms(name, distinct, settings.compression, settings.types, chosen_name)
        with self._destination as destination:
            make_writer = partial(self._make_writer, destination)
            pushed = push_platforms(images, destination, make_writer, settings.types, self._progress)
        return replace(pushed, **self._measure(pushed.warnings))

    def _measure(self, warnings: Sequence[str]) -> dict[str, Any]:
        """Return how long the push took, and all warnings, each once."""
        distinct = tuple(dict.fromkeys((*self._warnings, *warnings)))
        return {"seconds": time.monotonic() - self._began, "warnings": distinct}


@contextmanager
def _open_push(
    images: Sequence[StrPath],
    to: References,
    platform: str | None,
    options: ExistingPushOptions,
    sources: StoreArguments,
    progress: Progress | None,
) -> Iterator[_OpenedPush]:
    """Check the arguments, and open the images for the block."""
    check_progress(progress)
    settings, caches = PushSettings.parse(to, options, sources), parse_caches(options.get("cache_from", ()))
    if parse_boolean("provenance", options.get("provenance", False)):
        raise InvalidArgument("provenance", f"true and {images[0]}", "ROOTs", hint=_PROVENANCE_HINT)
    wanted = Platform.parse(platform) if platform else None
    warnings: list[str] = []
    with ExitStack() as stack:
        stores = settings.stores
        opened = open_sbom_store(stores, options.get("embedded_store"), warnings) if stores.store else None
        store = stack.enter_context(opened) if opened else None
        opened_cache = open_layer_cache(settings.layer_cache, warnings, local=settings.local_layer_cache)
        context = BuildContext(stack.enter_context(opened_cache), settings.jobs)
        found = open_existing(
            images,
            stack,
            wanted,
            settings.max_unpacked,
            insecure=settings.is_insecure,
            # The history of an image of another program need not list the store paths in its layers.
            verify=settings.is_verified or settings.sbom is not None,
            progress=progress,
        )

        def make_writer(destination: RegistryDestination, image: InspectedImage, is_tagged: bool) -> RegistryWriter:
            describe = describe_existing(image, settings.sbom, store, warnings.append)
            return RegistryWriter(
                destination,
                settings.compression,
                progress,
                context,
                warnings.append,
                settings.types,
                is_tagged=is_tagged,
                describe=describe,
            )

        destination = open_push(to, caches, insecure=settings.is_insecure)
        yield _OpenedPush(found, destination, make_writer, settings, progress, warnings)


def _describe_choice(image: StrPath) -> tuple[object, str]:
    """Return the subject and the hint of the error if an image is several."""
    source = select.parse_source(image)
    if isinstance(source, select.ImageFile):
        hint = source.name_hint if source.name is None else select.PLATFORM_HINT
        return source.path, hint
    return source, select.PLATFORM_HINT
