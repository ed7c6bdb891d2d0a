"""The public functions that push images to registries.

Credentials are those that docker and podman have. Every error is a `lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Unpack

from lamina.api.images import stream_layered_image
from lamina.api.sbom import parse_sbom_format
from lamina.core.progress import Progress, check_progress
from lamina.errors import InvalidArgument
from lamina.formats.registry_references import RegistryReference
from lamina.images.registry_destination import RegistryDestination, open_destination
from lamina.images.software import SbomFormat
from lamina.images.writers.push_result import RegistryPushResult
from lamina.inputs.arguments import ImageArguments
from lamina.inputs.parsers import parse_boolean
from lamina.inputs.registry_names import References, parse_references, parse_targets
from lamina.registry.connection import RegistryConnection
from lamina.registry.open import open_repository


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
    has_provenance = parse_boolean("provenance", provenance)
    with stream_layered_image(progress=progress, **prepare_arguments(targets, arguments)) as stream:
        return stream.push(targets, cache_from=caches, sbom=kind, provenance=has_provenance, progress=progress)


def prepare_arguments(to: References, arguments: ImageArguments) -> ImageArguments:
    """Return ``arguments`` with the name and tag of the first reference of ``to``, unless they have a name.

    Raises `InvalidArgument` if they forbid the network.
    """
    first = parse_targets("to", to)[0]
    if arguments.get("offline"):
        raise InvalidArgument("offline", "true and a push", "a push, or no network", hint="build an OCI layout instead")
    return arguments if arguments.get("name") else {"tag": first.tag, **arguments, "name": first.name}


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
