"""Images for several platforms that are ready to be written together, with an index that lists them."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from lamina.api.image_writers import make_registry_writer, open_archive, open_build_context, open_layout
from lamina.api.images import stream_layered_image
from lamina.api.outputs import check_extension
from lamina.api.stream import Stream, make_closed_error
from lamina.core.progress import Progress, check_progress
from lamina.errors import Error, InvalidArgument, error_context
from lamina.images.writers.archives import DEFAULT_FORMAT, INDEX_FORMAT, OCI_HINT
from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.parsers import parse_boolean, parse_format
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.platforms import expand_platforms
from lamina.inputs.spec import Spec
from lamina.system.cleanup import close_with
from lamina.system.output import Writable, is_layout

if TYPE_CHECKING:
    from lamina.images.image import Draft, ImageSettings
    from lamina.images.registry_destination import RegistryDestination
    from lamina.images.software import SbomFormat
    from lamina.images.writers.registry import RegistryWriter
    from lamina.images.writers.registry_index import IndexPushResult
    from lamina.images.written_index import IndexBuildResult
    from lamina.inputs.registry_names import References
    from lamina.layers.context import BuildContext

_FORMAT_HINT = f"{OCI_HINT}; or make an image file for each platform, with one --platform"


class IndexStream:
    """Images for several platforms that are ready to be written, any number of times, with an index that lists them.

    Use it in a ``with`` block, as a `Stream`.

    Attributes:
        streams: the image for each platform, in the order of the index.
        close: closes all of them; a second call does nothing.

    """

    def __init__(self, streams: Mapping[str, Stream], close: Callable[[], object], seconds: float) -> None:
        self.close: weakref.finalize[[], object] = close_with(self, close)
        self.streams: tuple[Stream, ...] = tuple(streams.values())
        self._platforms = tuple(streams)
        self._spec = self.streams[0].spec
        self._seconds = seconds
        self._warnings: list[str] = []

    def __repr__(self) -> str:
        return f"<IndexStream: {', '.join(self._platforms)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def settings(self) -> ImageSettings:
        """The settings of the first image, whose name the index gets."""
        return self.streams[0].settings

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings so far, each once. Those about one platform begin with its name."""
        prepared = self._collect(lambda stream: stream.warnings)
        return tuple(dict.fromkeys((*prepared, *self._warnings)))

    @property
    def decisions(self) -> tuple[str, ...]:
        """The decisions about each image that no argument made, as in `Stream.decisions`."""
        return self._collect(lambda stream: stream.decisions)

    @property
    def script_output(self) -> str:
        """The output of the extra commands, for one platform after the other."""
        return "".join(stream.script_output for stream in self.streams)

    def build(
        self, output: StrPath, *, compressor: str | None = None, progress: Progress | None = None
    ) -> IndexBuildResult:
        """Write the images and the index to an OCI archive, whole or not at all, or into an OCI layout.

        Args:
            output: a file; or, if it ends in ``/`` or is a folder, an OCI layout.
            compressor: ``none``, ``gz`` or ``zstd`` for a file, as in `Stream.build`.
            progress: receives the progress of each image.

        Returns:
            The images and the index, and what writing them took.

        Raises:
            InvalidArgument: the format is not ``oci``, or a compressor was given for an OCI layout.
            Error: what `Stream.build` raises.

        """
        if not is_layout(output):
            return self._write_archive(Path(output), compressor or self._spec.compressor, progress)
        self._check_open()
        began = time.monotonic()
        with open_layout(self._spec, output, compressor, progress, self._warnings) as layout:
            written = layout.write_index(self._drafts)
        return self._complete(written, os.fsdecode(output), began)

    def write_to(
        self, out: Writable, *, compressor: str = "none", progress: Progress | None = None
    ) -> IndexBuildResult:
        """Write an OCI archive of the images and the index to ``out``.

        Args:
            out: anything with a binary ``write``.
            compressor: ``none``, ``gz`` or ``zstd``.
            progress: receives the progress of each image.

        Returns:
            The images and the index, and what writing them took.

        Raises:
            Error: what `build` raises.

        """
        return self._write_archive(out, compressor, progress)

    def push(
        self,
        to: References,
        *,
        cache_from: References | None = (),
        sbom: SbomFormat | None = None,
        provenance: bool = False,
        progress: Progress | None = None,
    ) -> IndexPushResult:
        """Push the images to registries, and then the index, under all names.

        Args:
            to: where to, as in `push_image_index`.
            cache_from: images whose layers may be used, as in `push_image_index`.
            sbom: as in `push_image_index`.
            provenance: as in `push_image_index`.
            progress: receives the progress of each image.

        Returns:
            The images and the index, and what pushing them took.

        Raises:
            Error: what `Stream.push` raises.

        """
        from lamina.api.registry import open_push
        from lamina.api.sbom import parse_sbom_format
        from lamina.images.writers.registry_index import push_drafts

        began, spec = time.monotonic(), self._spec
        kind = None if sbom is None else parse_sbom_format("sbom", sbom)
        has_provenance = parse_boolean("provenance", provenance)
        self._check_open()
        with (
            open_build_context(spec, self._warnings) as context,
            open_push(to, cache_from, insecure=spec.insecure) as destination,
        ):
            writers = [
                self._make_writer(platform, stream, destination, kind, progress, context, has_provenance)
                for platform, stream in zip(self._platforms, self.streams, strict=True)
            ]
            pushed = push_drafts(destination, self._drafts, writers, spec.media_types)
        return replace(pushed, seconds=self._measure(began), warnings=self.warnings)

    def _make_writer(
        self,
        platform: str,
        stream: Stream,
        destination: RegistryDestination,
        sbom: SbomFormat | None,
        progress: Progress | None,
        context: BuildContext,
        has_provenance: bool,
    ) -> RegistryWriter:
        """Return the writer of the image for one platform, which attaches the documents about it."""
        from lamina.api.attachments import describe_draft

        def warn(text: str) -> None:
            self._warnings.append(f"{platform}: {text}")

        describe = describe_draft(stream.draft, stream.spec, sbom, warn, provenance=has_provenance)
        return make_registry_writer(
            self._spec,
            destination,
            progress,
            context,
            self._warnings.append,
            describe=describe,
            is_tagged=False,
        )

    def _write_archive(
        self, output: Path | Writable, compressor: str | None, progress: Progress | None
    ) -> IndexBuildResult:
        from lamina.images.writers.oci_archive import OciArchive

        self._check_open()
        began = time.monotonic()
        check_index_format(self._spec.format)
        with open_archive(self._spec, output, compressor, self._warnings) as archive:
            writer = OciArchive(archive.out, progress, archive.context, archive.compression)
            written = writer.write_index(self._drafts)
        file = str(output) if isinstance(output, Path) else None
        return replace(self._complete(written, file, began), bytes_written=archive.counter.size)

    def _complete(self, written: IndexBuildResult, file: str | None, began: float) -> IndexBuildResult:
        """Return the result with the file, the time since ``began`` and the warnings."""
        images = tuple(replace(image, file=file) for image in written.images)
        return replace(written, images=images, file=file, seconds=self._measure(began), warnings=self.warnings)

    @property
    def _drafts(self) -> tuple[Draft, ...]:
        return tuple(stream.draft for stream in self.streams)

    def _check_open(self) -> None:
        if not self.close.alive:
            raise make_closed_error()

    def _collect(self, get: Callable[[Stream], Sequence[str]]) -> tuple[str, ...]:
        """Return the texts of all images, each with the platform of its image before it."""
        pairs = zip(self._platforms, self.streams, strict=True)
        return tuple(f"{platform}: {text}" for platform, stream in pairs for text in get(stream))

    def _measure(self, began: float) -> float:
        return self._seconds + time.monotonic() - began


def check_index_format(format_name: str | None) -> None:
    """Raise `InvalidArgument` for the format of a file that cannot hold images for several platforms."""
    if (format_name or DEFAULT_FORMAT) != INDEX_FORMAT:
        got = f"{format_name or DEFAULT_FORMAT} and several platforms"
        raise InvalidArgument("format", got, f"{INDEX_FORMAT} for a file", hint=_FORMAT_HINT)


def stream_image_index(*, progress: Progress | None = None, **arguments: Unpack[ImageArguments]) -> IndexStream:
    """Prepare an image for each of several platforms, each of its own store paths and their closure.

    The contents of a platform's image are ``contents``, and what ``roots`` has for it. A package name means the path
    with programs for the platform, if several have that name.

    Args:
        progress: receives the progress of fetching base images from a registry.
        **arguments: those of `ImageArguments`.

    Returns:
        The images, ready to be written.

    Raises:
        InvalidArgument: an argument is wrong, or none names a platform.
        Error: what `stream_layered_image` raises. The error of an image names its platform.

    """
    began = time.monotonic()
    check_progress(progress)
    images = check_image_index(arguments)
    moments = _fix_moments(next(iter(images.values())))
    with ExitStack() as resources:
        streams: dict[str, Stream] = {}
        for platform, expanded in images.items():
            with error_context(platform, Error):
                stream = stream_layered_image(progress=progress, **{**expanded, **moments})
                streams[platform] = resources.enter_context(stream)
        kept = resources.pop_all()
    return IndexStream(streams, kept.close, time.monotonic() - began)


def _fix_moments(arguments: Mapping[str, Any]) -> dict[str, datetime]:
    """Return the current time for each argument that stands for it, so that it is the same in all images."""
    now = datetime.now(UTC)
    spec = Spec.parse(arguments)
    return {name: now for name, moment in (("created", spec.created), ("mtime", spec.mtime)) if moment is None}


def check_image_index(arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Check the arguments of all images, so that nothing runs if one is wrong, and return them by platform.

    Raises what `Spec.parse` and `pin_base_image` raise, and `InvalidArgument` if no argument names a platform.
    """
    images = expand_platforms(arguments)
    if "" in images:
        raise InvalidArgument("platforms", "none", "the platforms of the images, such as linux/amd64 and linux/arm64")
    for platform, expanded in images.items():
        with error_context(platform, Error):
            pin_base_image(Spec.parse(expanded), [])
    return images


def build_image_index(
    *, output: StrPath, progress: Progress | None = None, **arguments: Unpack[ImageArguments]
) -> IndexBuildResult:
    """Write an image for each of several platforms to ``output``, with an index that lists them.

    Args:
        output: a file, which is an OCI archive if ``format`` is ``oci``, and is written whole or not at all; or, if it
            ends in ``/`` or is a folder, an OCI layout, to which only the blobs that it lacks are written.
        progress: receives the progress of the work.
        **arguments: those of `ImageArguments`.

    Returns:
        The images and the index, and what writing them took.

    Raises:
        Error: what `stream_image_index` and `IndexStream.build` raise.

    """
    check_progress(progress)
    if not is_layout(output):
        check_extension(output, arguments.get("compressor"))
        check_index_format(parse_format("format", arguments.get("format")))
    with stream_image_index(progress=progress, **arguments) as stream:
        return stream.build(output, progress=progress)


def push_image_index(
    *,
    to: References,
    cache_from: References | None = (),
    sbom: SbomFormat | None = None,
    provenance: bool = False,
    progress: Progress | None = None,
    **arguments: Unpack[ImageArguments],
) -> IndexPushResult:
    """Push an image for each of several platforms to registries, and last an index that lists them.

    The images have no tag of their own; an engine that pulls the tag of the index takes the image for its platform.

    Args:
        to: references such as ``ghcr.io/me/app:1``; without a tag, the tag is ``latest``.
        cache_from: as in `push_layered_image`; of an index, the layers of all its images are used.
        sbom: as in `push_layered_image`, for each image.
        provenance: as in `push_layered_image`, for each image.
        progress: receives the progress of the work.
        name: the image's name in messages. By default that of the first reference.
        layer_compression: as in `push_layered_image`.
        **arguments: those of `ImageArguments`.

    Returns:
        The images and the index, and what pushing them took.

    Raises:
        Error: what `push_layered_image` raises. The error of an image names its platform.

    """
    from lamina.api.registry import parse_caches, prepare_arguments
    from lamina.api.sbom import parse_sbom_format
    from lamina.inputs.registry_names import parse_targets

    check_progress(progress)
    targets, caches = parse_targets("to", to), parse_caches(cache_from)
    kind = None if sbom is None else parse_sbom_format("sbom", sbom)
    has_provenance = parse_boolean("provenance", provenance)
    with stream_image_index(progress=progress, **prepare_arguments(targets, arguments)) as stream:
        return stream.push(targets, cache_from=caches, sbom=kind, provenance=has_provenance, progress=progress)
