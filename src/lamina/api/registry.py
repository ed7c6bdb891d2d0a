"""The public functions that push images to registries.

Credentials are those that docker and podman have. Every error is a `lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Unpack

from lamina.api.attachments import describe_existing
from lamina.api.images import read_file, stream_layered_image
from lamina.api.opened_layer_cache import open_layer_cache
from lamina.api.sbom import open_sbom_store, parse_sbom_format
from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION
from lamina.core.progress import Progress, check_progress
from lamina.errors import InvalidArgument
from lamina.formats.platform import Platform
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers import select
from lamina.images.readers.registry_image import read_registry_images
from lamina.images.readers.source_image import InspectedImage, SourceImage
from lamina.images.registry_destination import RegistryDestination, open_destination
from lamina.images.software import SbomFormat
from lamina.images.source_layers import can_be_sent_unread
from lamina.images.writers.push_result import RegistryPushResult
from lamina.images.writers.registry import RegistryWriter
from lamina.inputs.arguments import ImageArguments, StoreArguments, StrPath
from lamina.inputs.parsers import (
    parse_boolean,
    parse_cache_path,
    parse_jobs,
    parse_layer_compression,
    parse_media_types,
    parse_size,
)
from lamina.inputs.registry_names import References, parse_references, parse_targets
from lamina.inputs.spec import StoreSpec
from lamina.layers.context import BuildContext
from lamina.registry.connection import RegistryConnection
from lamina.registry.open import open_repository
from lamina.system.cpus import cpu_count

_PROVENANCE_HINT = "lamina does not know how an image that exists was made; push the ROOTs that it was made of"


def push_layered_image(
    *,
    to: References,
    cache_from: References | None = (),
    sbom: SbomFormat | None = None,
    provenance: bool = False,
    progress: Progress | None = None,
    **arguments: Unpack[ImageArguments],
) -> RegistryPushResult:
    """Push the image of store paths and their closure to registries; only the blobs that they lack are made and sent.

    A layer is neither read nor made if the layer cache knows its blob and the registry has it. Without an entry in the
    layer cache, what an image of ``cache_from`` states about a layer of the same store paths is used: it is as
    trustworthy as that image, and ``verify`` compares it with the packed layer. Tags move last.

    Args:
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: references to images whose layers are used where they are those of this image. By default the images
            that ``to`` names now. None to use no image.
        sbom: the format of a software bill of materials (SBOM) that is attached to the image, before a tag names it:
            ``cyclonedx`` for CycloneDX 1.6 in JSON, or ``spdx`` for SPDX 2.3 in JSON. By default there is none.
        provenance: whether a statement about how the image was made is attached to it in the same way: an in-toto
            statement with SLSA provenance, not signed.
        progress: receives the progress of the work.
        name: the image's name in messages. By default that of the first reference.
        layer_compression: the compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``.
            By default ``gzip``.
        **arguments: those of `ImageArguments`.

    Returns:
        The image, with the digests of its layers and of its manifest, and what pushing it took.

    Raises:
        RegistryError: a registry failed, or refused something.
        AuthError: a registry refuses the credentials, or wants some.
        Error: what `stream_layered_image` raises.

    """
    check_progress(progress)
    targets, caches = parse_targets("to", to), parse_caches(cache_from)
    kind = None if sbom is None else parse_sbom_format("sbom", sbom)
    is_traced = parse_boolean("provenance", provenance)
    with stream_layered_image(progress=progress, **prepare_arguments(targets, arguments)) as stream:
        return stream.push(targets, cache_from=caches, sbom=kind, provenance=is_traced, progress=progress)


def prepare_arguments(to: References, arguments: ImageArguments) -> ImageArguments:
    """Return ``arguments`` with the name and tag of the first reference of ``to``, unless they have a name.

    Raises `InvalidArgument` if they forbid the network.
    """
    first = parse_targets("to", to)[0]
    if arguments.get("offline"):
        raise InvalidArgument("offline", "true and a push", "a push, or no network", hint="build an OCI layout instead")
    return arguments if arguments.get("name") else {"tag": first.tag, **arguments, "name": first.name}


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
        layer_cache: the file that keeps what is learnt about layers. By default there is none.
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
    began = time.monotonic()
    check_progress(progress)
    targets, caches = parse_targets("to", to), parse_caches(cache_from)
    compression = parse_layer_compression("layer_compression", layer_compression) or REGISTRY_LAYER_COMPRESSION
    types = parse_media_types("media_types", media_types)
    if types:
        types.check_codec("layer_compression", compression.codec)
    cache_file = parse_cache_path("layer_cache", layer_cache)
    processors = parse_jobs("jobs", jobs) or cpu_count()
    limit = parse_size("max_unpacked_size", max_unpacked_size)
    is_verified = parse_boolean("verify", verify)
    is_insecure = parse_boolean("insecure", insecure)
    kind = None if sbom is None else parse_sbom_format("sbom", sbom)
    stores = _parse_sources(kind, sources)
    if parse_boolean("provenance", provenance):
        raise InvalidArgument("provenance", f"true and {image}", "ROOTs", hint=_PROVENANCE_HINT)
    source, wanted = select.parse_source(image), Platform.parse(platform) if platform else None
    warnings: list[str] = []
    with ExitStack() as stack:
        opened = open_sbom_store(stores, embedded_store, warnings) if stores.store else None
        store = stack.enter_context(opened) if opened else None
        layer_cache_file = stack.enter_context(open_layer_cache(cache_file, warnings))
        context = BuildContext(layer_cache_file, processors)

        def make_writer(chosen: InspectedImage) -> RegistryWriter:
            destination = stack.enter_context(_open_destination(targets, caches, insecure=is_insecure))
            warn = warnings.append
            describe = describe_existing(chosen, kind, store, warn)
            return RegistryWriter(destination, compression, progress, context, warn, types, describe=describe)

        if isinstance(source, select.ImageFile):
            # The history of an image of another program need not list the store paths in its layers.
            chosen = _read_image(source, wanted, limit, progress, verify=is_verified or kind is not None)
            pushed = make_writer(chosen).write_image(chosen)
        else:
            connection = stack.enter_context(open_repository(source, insecure=is_insecure))
            found = read_registry_images(connection, source, wanted)
            copied = select.select_single(found, source, select.PLATFORM_HINT)
            pushed = make_writer(copied).copy_image(copied, connection)
    return replace(pushed, seconds=time.monotonic() - began, warnings=tuple(warnings))


def _parse_sources(kind: SbomFormat | None, sources: StoreArguments) -> StoreSpec:
    """Return the checked ``sources``. Raises `InvalidArgument` if there is nothing that would use them."""
    if sources and kind is None:
        name = next(iter(sources))
        hint = "sbom attaches a software bill of materials, whose hashes come from stores"
        raise InvalidArgument(name, "an image that exists, and no sbom", "both, or neither", hint=hint)
    return StoreSpec.parse(sources)


def _read_image(
    source: select.ImageFile,
    platform: Platform | None,
    max_unpacked: int | None,
    progress: Progress | None,
    *,
    verify: bool,
) -> SourceImage:
    """Return the image of a file; its layers are read only to verify them, or if they cannot be sent as they are."""
    hint = f"name one as {source.path}#NAME:TAG" if source.name is None else select.PLATFORM_HINT

    def read(*, reads_layers: bool) -> SourceImage:
        images = read_file(source, platform, max_unpacked, progress, reads_layers=reads_layers)
        return select.select_single(images, source.path, hint)

    image = read(reads_layers=verify)
    return image if verify or all(map(can_be_sent_unread, image.layers)) else read(reads_layers=True)


@contextlib.contextmanager
def open_push(to: References, cache_from: References | None, *, insecure: bool) -> Iterator[RegistryDestination]:
    """Open the repositories of a push for the block, given the arguments of `push_layered_image`."""
    with _open_destination(parse_targets("to", to), parse_caches(cache_from), insecure=insecure) as destination:
        yield destination


def parse_caches(cache_from: References | None) -> tuple[RegistryReference, ...] | None:
    """Return the checked references of ``cache_from``, or None to use no image."""
    return None if cache_from is None else parse_references("cache_from", cache_from)


@contextlib.contextmanager
def _open_destination(
    targets: tuple[RegistryReference, ...], caches: tuple[RegistryReference, ...] | None, *, insecure: bool
) -> Iterator[RegistryDestination]:
    def connect(reference: RegistryReference, is_writer: bool) -> RegistryConnection:
        return open_repository(reference, insecure=insecure, is_writer=is_writer)

    with open_destination(targets, caches, connect) as destination:
        yield destination
