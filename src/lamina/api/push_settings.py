"""The arguments of the functions that push images that exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from lamina.api.sbom import parse_sbom_format
from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION, LayerCompression
from lamina.errors import InvalidArgument
from lamina.formats.media_types import MediaTypes
from lamina.formats.registry_references import RegistryReference
from lamina.images.software import SbomFormat
from lamina.inputs.arguments import StoreArguments, StrPath
from lamina.inputs.parsers import (
    parse_boolean,
    parse_cache_path,
    parse_jobs,
    parse_layer_compression,
    parse_media_types,
    parse_shared_cache,
    parse_size,
)
from lamina.inputs.registry_names import References, parse_targets
from lamina.inputs.spec import StoreSpec
from lamina.system.cpus import cpu_count


class ExistingPushOptions(TypedDict, total=False):
    """The arguments that `push_image` and `push_index` have in common, unchecked."""

    cache_from: References | None
    max_unpacked_size: int | str | None
    layer_compression: str | None
    media_types: str | None
    layer_cache: StrPath | None
    local_layer_cache: StrPath | None
    jobs: int | None
    verify: bool
    insecure: bool
    sbom: SbomFormat | None
    provenance: bool
    embedded_store: StrPath | None


@dataclass(frozen=True, slots=True)
class PushSettings:
    """The checked arguments of a push of images that exist.

    Attributes:
        targets: the names to push to.
        compression: how each layer is compressed that is not compressed yet.
        types: the media types that are wanted; None for those that the images have.
        layer_cache: the file or URL that keeps what is learnt about layers, or None.
        local_layer_cache: the file in front of a layer cache with a URL, or None.
        jobs: the number of processors to use.
        max_unpacked: the most bytes that a file may unpack to; None for the default.
        is_verified: whether files are read and checked first.
        is_insecure: whether plain HTTP is allowed.
        sbom: the format of a software bill of materials that is attached, or None.
        stores: the stores that it takes hashes and references from.
    """

    targets: tuple[RegistryReference, ...]
    compression: LayerCompression
    types: MediaTypes | None
    layer_cache: str | None
    local_layer_cache: str | None
    jobs: int
    max_unpacked: int | None
    is_verified: bool
    is_insecure: bool
    sbom: SbomFormat | None
    stores: StoreSpec

    @classmethod
    def parse(cls, to: References, options: ExistingPushOptions, sources: StoreArguments) -> PushSettings:
        """Check the arguments of `push_image` or `push_index`. Raises `InvalidArgument`."""
        compression = parse_layer_compression("layer_compression", options.get("layer_compression"))
        chosen = compression or REGISTRY_LAYER_COMPRESSION
        types = parse_media_types("media_types", options.get("media_types"))
        if types:
            types.check_codec("layer_compression", chosen.codec)
        sbom = options.get("sbom")
        kind = None if sbom is None else parse_sbom_format("sbom", sbom)
        return cls(
            parse_targets("to", to),
            chosen,
            types,
            parse_shared_cache("layer_cache", options.get("layer_cache")),
            parse_cache_path("local_layer_cache", options.get("local_layer_cache")),
            parse_jobs("jobs", options.get("jobs")) or cpu_count(),
            parse_size("max_unpacked_size", options.get("max_unpacked_size")),
            parse_boolean("verify", options.get("verify", False)),
            parse_boolean("insecure", options.get("insecure", False)),
            kind,
            _parse_sources(kind, sources),
        )


def _parse_sources(kind: SbomFormat | None, sources: StoreArguments) -> StoreSpec:
    """Return the checked ``sources``. Raises `InvalidArgument` if there is nothing that would use them."""
    if sources and kind is None:
        name = next(iter(sources))
        hint = "sbom attaches a software bill of materials, whose hashes come from stores"
        raise InvalidArgument(name, "an image that exists, and no sbom", "both, or neither", hint=hint)
    return StoreSpec.parse(sources)
