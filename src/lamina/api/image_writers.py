"""Open the writers of images for the outputs that users name, as the arguments of the images say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.api.outputs import check_format, open_counted_output
from lamina.compression.compressors import NO_LAYER_COMPRESSION, REGISTRY_LAYER_COMPRESSION, LayerCompression
from lamina.core.progress import Progress
from lamina.errors import InvalidArgument
from lamina.formats.media_types import OCI
from lamina.images.writers.archives import DEFAULT_FORMAT
from lamina.inputs.arguments import StrPath
from lamina.inputs.blob_caches import open_spec_blob_cache
from lamina.inputs.layer_caches import open_spec_layer_cache
from lamina.inputs.spec import Spec
from lamina.layers.context import BuildContext
from lamina.system.cpus import cpu_count
from lamina.system.fd_writer import Output
from lamina.system.output import CountingOutput, Writable

if TYPE_CHECKING:
    from lamina.images.attachments import DescribeImage
    from lamina.images.registry_destination import RegistryDestination
    from lamina.images.writers.oci_layout import OciLayout
    from lamina.images.writers.registry import RegistryWriter

Warn = Callable[[str], object]


@contextlib.contextmanager
def open_build_context(spec: Spec, warnings: list[str]) -> Iterator[BuildContext]:
    """Open the caches of ``spec`` for the block, and return what writing layers needs; ``warnings`` grows."""
    with (
        open_spec_layer_cache(spec, warnings) as layer_cache,
        open_spec_blob_cache(spec, warnings.append) as blobs,
    ):
        yield BuildContext(layer_cache, spec.jobs or cpu_count(), spec.verify, blobs=blobs)


@contextlib.contextmanager
def open_layout(
    spec: Spec, output: StrPath, compressor: str | None, progress: Progress | None, warnings: list[str]
) -> Iterator[OciLayout]:
    """Open the writer of the OCI layout ``output`` for the block.

    Raises `InvalidArgument` for a compressor, a format or media types that a layout cannot have.
    """
    from lamina.images.writers.oci_layout import OciLayout

    if (compressor or spec.compressor) not in (None, "none"):
        raise InvalidArgument(
            "compressor",
            compressor or spec.compressor,
            "none for an OCI layout, a folder",
            hint="--layer-compression is for its layers",
        )
    check_format(output, spec.format)
    _check_media_types(spec, "an OCI layout")
    with open_build_context(spec, warnings) as context:
        compression = spec.layer_compression or NO_LAYER_COMPRESSION
        yield OciLayout(Path(output), compression, progress, context, warnings.append)


@dataclass(frozen=True, slots=True)
class OpenedArchive:
    """An archive that is being written.

    Attributes:
        out: takes its bytes, uncompressed.
        counter: counts the bytes that reach the file or the stream, compressed.
        context: the layer cache and the number of processors.
        compression: how each layer is compressed.
    """

    out: Output
    counter: CountingOutput
    context: BuildContext
    compression: LayerCompression


@contextlib.contextmanager
def open_archive(
    spec: Spec, output: Path | Writable, compressor: str | None, warnings: list[str]
) -> Iterator[OpenedArchive]:
    """Open the file or the stream of an archive for the block.

    Raises `InvalidArgument` for media types that an archive cannot have.
    """
    if (spec.format or DEFAULT_FORMAT) != DEFAULT_FORMAT:
        _check_media_types(spec, f"the format {spec.format}")
    with (
        open_build_context(spec, warnings) as context,
        open_counted_output(output, compressor=compressor, jobs=spec.jobs) as (out, counter),
    ):
        # A compressor or a writer in Python is the bottleneck; one hashing thread keeps up with it, so no workers are
        # started.
        hashing = context if out.is_zero_copy else replace(context, jobs=1)
        yield OpenedArchive(out, counter, hashing, spec.layer_compression or NO_LAYER_COMPRESSION)


def make_registry_writer(
    spec: Spec,
    destination: RegistryDestination,
    progress: Progress | None,
    context: BuildContext,
    warn: Warn,
    *,
    describe: DescribeImage,
    is_tagged: bool = True,
) -> RegistryWriter:
    """Return the writer of images to ``destination``; the arguments are those of `RegistryWriter`."""
    from lamina.images.writers.registry import RegistryWriter

    compression = spec.layer_compression or REGISTRY_LAYER_COMPRESSION
    return RegistryWriter(
        destination, compression, progress, context, warn, spec.media_types, is_tagged=is_tagged, describe=describe
    )


def _check_media_types(spec: Spec, output: str) -> None:
    """Raise `InvalidArgument` if the image has other media types than OCI's, which ``output`` cannot have."""
    types = spec.media_types
    if types not in (None, OCI):
        raise InvalidArgument(
            "media_types",
            f"{types.name} and {output}",
            "oci, because skopeo and podman find no others in a layout",
            hint="docker's media types are for lamina push",
        )
