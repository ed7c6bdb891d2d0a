"""The public functions that make and read images.

The arguments are those of one table (`lamina.ImageArguments`). Every error is a `lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from lamina.api.decisions import describe_image, describe_plan
from lamina.api.outputs import open_counted_output, open_output
from lamina.api.results import ListResult
from lamina.builder.prepare import PlanResult, list_script_folders, plan, prepare
from lamina.compression.compressors import (
    NO_LAYER_COMPRESSION,
    REGISTRY_LAYER_COMPRESSION,
    choose_compressor,
)
from lamina.core.names import StorePath
from lamina.core.progress import FETCHED, Progress, check_progress
from lamina.errors import InvalidArgument
from lamina.formats.media_types import OCI
from lamina.formats.platform import Platform
from lamina.images.image import BuildResult, Draft, ImageWriter
from lamina.images.writers.archives import DEFAULT_FORMAT, LAYOUT_FORMAT, create_archive_writer
from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.parsers import parse_boolean, parse_size
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.spec import Spec, StoreSpec
from lamina.inputs.stores import open_store
from lamina.layer_cache.cache import LayerCache, NullLayerCache
from lamina.layers.context import BuildContext
from lamina.messages.redaction import short_repr
from lamina.stores.cached import CachedStore
from lamina.stores.path_progress import PathProgress
from lamina.stores.store import StoreLike
from lamina.system.cleanup import close_with
from lamina.system.cpus import cpu_count
from lamina.system.output import Writable, is_layout, parse_output_file

if TYPE_CHECKING:
    from lamina.api.layer_cache import LayerCacheCheck
    from lamina.images.readers.select import ImageFile
    from lamina.images.readers.source_image import InspectedImage, SourceImage
    from lamina.images.writers.registry import RegistryPushResult
    from lamina.inputs.registry_names import References

_IMAGE_HINT = "name one with --image"
_PLATFORM_HINT = "say which with --platform"
_ANNOTATIONS_WARNING = (
    "annotations: a docker-archive has no place for them, so they are left out; --format oci and hybrid, an OCI layout "
    "(-o DIR/) and a registry (lamina push) have"
)


class Stream:
    """An image that is ready to be written, any number of times.

    Use it in a ``with`` block, which closes the stores that it reads and removes its temporary files. Without a block,
    this happens when `close` is called, or when nothing refers to the stream any more. A closed stream cannot be
    written.

    Attributes:
        draft: the image before it is written.
        script_output: what the extra commands printed.
        close: closes the stream; a second call does nothing.

    """

    def __repr__(self) -> str:
        return f"<Stream of {self.draft}>"

    def __init__(
        self,
        draft: Draft,
        warnings: tuple[str, ...],
        script_output: str,
        spec: Spec,
        close: Callable[[], object],
        seconds: float = 0.0,
        sandbox: str = "",
    ) -> None:
        self.close: weakref.finalize[[], object] = close_with(self, close)
        self._seconds = seconds
        self.draft = draft
        self._warnings = list(warnings)
        self.script_output = script_output
        self._spec = spec
        self._sandbox = sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings so far, including those about writing."""
        return tuple(self._warnings)

    @property
    def decisions(self) -> tuple[str, ...]:
        """What was decided where no argument said it, and why: the stores, the layers, the name and more."""
        return describe_image(self._spec, self.draft, self._sandbox)

    def write_to(self, out: Writable, *, compressor: str = "none", progress: Progress | None = None) -> BuildResult:
        """Stream the image to ``out``, as a docker-archive in one pass unless the image has another ``format``.

        Args:
            out: anything with a binary ``write``.
            compressor: ``none``, ``gz`` or ``zstd``.
            progress: receives the progress of the work.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            IntegrityError: a file changed while it was read.
            OutputError: ``out`` could not be written.

        """
        return self._write_archive(out, compressor, progress)

    def build(self, output: StrPath, *, compressor: str | None = None, progress: Progress | None = None) -> BuildResult:
        """Write the image to a file, whole or not at all, or into an OCI layout.

        Args:
            output: a file; or, if it ends in ``/`` or is a folder, an OCI layout, to which only the blobs that it lacks
                are written.
            compressor: ``none``, ``gz`` or ``zstd``. By default the argument of the image, or else the one that fits
                the file's extension. A layout cannot have one.
            progress: receives the progress of the work.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            InvalidArgument: a compressor, or a format other than ``oci``, was given for an OCI layout.
            IntegrityError: a file changed while it was read.
            OutputError: ``output`` could not be written.

        """
        if not is_layout(output):
            return self._write_archive(Path(output), compressor or self._spec.compressor, progress)
        if (compressor or self._spec.compressor) not in (None, "none"):
            raise InvalidArgument(
                "compressor",
                compressor or self._spec.compressor,
                "none for an OCI layout, a folder",
                hint="--layer-compression is for its layers",
            )
        check_format(output, self._spec.format)
        self._check_media_types("an OCI layout")
        from lamina.images.writers.oci_layout import OciLayout

        began = time.monotonic()
        with self._build_context() as context:
            compression = self._spec.layer_compression or NO_LAYER_COMPRESSION
            layout = OciLayout(Path(output), compression, progress, context, self._warnings.append)
            written = self._write_draft(layout)
        return replace(written, file=os.fsdecode(output), seconds=self._measure(began), warnings=self.warnings)

    def push(
        self,
        to: References,
        *,
        cache_from: References | None = (),
        progress: Progress | None = None,
    ) -> RegistryPushResult:
        """Push the image to registries; only the blobs that they lack are made and sent.

        The layers are compressed with gzip unless the image has another ``layer_compression``.

        Args:
            to: where to, as in `push_layered_image`.
            cache_from: images whose layers may be used, as in `push_layered_image`.
            progress: receives the progress of the work.

        Returns:
            The image, with the digests of its layers and of its manifest, and what pushing it took.

        Raises:
            InvalidArgument: a reference is wrong.
            RegistryError: a registry failed.
            AuthError: a registry refuses the credentials, or wants some.
            IntegrityError: a file changed while it was read.
            OutputError: there is no room for temporary files.

        """
        from lamina.api.registry import open_push
        from lamina.images.writers.registry import RegistryWriter

        began = time.monotonic()
        with self._build_context() as context, open_push(to, cache_from, insecure=self._spec.insecure) as destination:
            compression = self._spec.layer_compression or REGISTRY_LAYER_COMPRESSION
            warn, types = self._warnings.append, self._spec.media_types
            writer = RegistryWriter(destination, compression, progress, context, warn, types)
            pushed = writer.write(self.draft)
        return replace(pushed, seconds=self._measure(began), warnings=self.warnings)

    def _write_archive(self, output: Path | Writable, compressor: str | None, progress: Progress | None) -> BuildResult:
        began = time.monotonic()
        spec = self._spec
        format_name = spec.format or DEFAULT_FORMAT
        if format_name != DEFAULT_FORMAT:
            self._check_media_types(f"the format {format_name}")
        elif spec.annotations and _ANNOTATIONS_WARNING not in self._warnings:
            self._warnings.append(_ANNOTATIONS_WARNING)
        with (
            self._build_context() as context,
            open_counted_output(output, compressor=compressor, jobs=spec.jobs) as (out, counter),
        ):
            # A compressor or a writer in Python is the bottleneck; one hashing thread keeps up with it, so no workers
            # are started.
            hashing = context if out.is_zero_copy else replace(context, jobs=1)
            compression = spec.layer_compression or NO_LAYER_COMPRESSION
            written = self._write_draft(create_archive_writer(format_name, out, progress, hashing, compression))
        file = str(output) if isinstance(output, Path) else None
        seconds = self._measure(began)
        return replace(written, bytes_written=counter.size, file=file, seconds=seconds, warnings=self.warnings)

    def _check_media_types(self, output: str) -> None:
        """Raise `InvalidArgument` if the image has other media types than OCI's, which ``output`` cannot have."""
        types = self._spec.media_types
        if types not in (None, OCI):
            raise InvalidArgument(
                "media_types",
                f"{types.name} and {output}",
                "oci, because skopeo and podman find no others in a layout",
                hint="docker's media types are for lamina push",
            )

    def _write_draft(self, writer: ImageWriter) -> BuildResult:
        return writer.write(self.draft)

    def _measure(self, began: float) -> float:
        """Return how long it took to prepare the image and to write it, which began at ``began``, in seconds."""
        return self._seconds + time.monotonic() - began

    @contextlib.contextmanager
    def _build_context(self) -> Iterator[BuildContext]:
        self._check_open()
        spec = self._spec
        with open_layer_cache(spec.layer_cache, self._warnings) as layer_cache:
            yield BuildContext(layer_cache, spec.jobs or cpu_count(), spec.verify)

    def script(self, output: StrPath, *, progress: Progress | None = None) -> None:
        """Write an executable file that streams the image on any machine that has this Python and the store paths.

        Args:
            output: the file to write.
            progress: receives the progress of downloading store paths.

        Raises:
            InvalidArgument: a store is not a folder on this machine, or ``output`` is a folder.
            OutputError: ``output`` could not be written.

        """
        from lamina.images.writers.stream_script import write_script

        self._check_open()
        file = parse_output_file(output)
        self._fetch_missing(progress)
        write_script(self.draft, list_script_folders(self._spec), file)

    def _check_open(self) -> None:
        if not self.close.alive:
            raise InvalidArgument("stream", "a closed stream", "an open one", hint="write it before its block ends")

    def _fetch_missing(self, progress: Progress | None) -> None:
        """Wait until the store paths that must be downloaded are here."""
        store = self.draft.store
        sizes: dict[StorePath, int] = {}
        for planned in self.draft.plans:
            known = [size for _, size in planned.nars] or [0] * len(planned.paths)
            sizes |= {path: size for path, size in zip(planned.paths, known, strict=True) if not store.is_local(path)}
        reported = PathProgress(progress, f"Fetching {len(sizes)} store paths", sizes)
        store.prefetch(sizes)
        for path in sizes:
            reported.start(path)
            store.location(path)
            reported.finish(path, FETCHED)
        reported.done()


def stream_layered_image(*, progress: Progress | None = None, **arguments: Unpack[ImageArguments]) -> Stream:
    """Prepare the image of store paths and their closure (nixpkgs: dockerTools.streamLayeredImage).

    The scripts run now. Store paths are read only when the image is written.

    Args:
        progress: receives the progress of fetching a base image from a registry.
        **arguments: those of `ImageArguments`.

    Returns:
        The image, ready to be streamed.

    Raises:
        InvalidArgument: an argument is wrong.
        InputError: a base image, a pipeline or the source of a file is missing, or cannot be read.
        FormatError: a base image, a pipeline or a narinfo does not follow its format.
        StoreError: a path is not valid, or a store could not be read.
        IntegrityError: a hash or a signature does not match.
        PlanError: the closure does not fit into the layers, or has a cycle.
        ScriptError: an extra command failed.
        OutputError: there is no room for temporary files.
        RegistryError: a registry lacks a base image, or failed.
        AuthError: a registry refuses the credentials, or wants some.

    """
    began = time.monotonic()
    check_progress(progress)
    warnings: list[str] = []
    spec = pin_base_image(Spec.parse(arguments), warnings)
    with ExitStack() as resources, open_layer_cache(spec.layer_cache, warnings) as layer_cache:
        # When the image is written, another attempt to open it would wait for the same lock again.
        spec = replace(spec, layer_cache=spec.layer_cache if layer_cache.is_available else None)
        store = resources.enter_context(open_store(spec, spec.embedded_store, warnings))
        prepared = prepare(spec, CachedStore(store, layer_cache), datetime.now(UTC), progress)
        draft = replace(prepared.draft, store=store)
        resources.callback(draft.close)
        kept = resources.pop_all()
    seconds = time.monotonic() - began
    return Stream(
        draft, (*warnings, *prepared.warnings), prepared.script_output, spec, kept.close, seconds, prepared.sandbox
    )


def build_layered_image(
    *, output: StrPath, progress: Progress | None = None, **arguments: Unpack[ImageArguments]
) -> BuildResult:
    """Write the image of store paths and their closure to ``output`` (nixpkgs: dockerTools.buildLayeredImage).

    Args:
        output: a file, written whole or not at all; or, if it ends in ``/`` or is a folder, an OCI layout, to which
            only the blobs that it lacks are written.
        progress: receives the progress of the work.
        **arguments: those of `ImageArguments`.

    Returns:
        The image, with the digests of its layers, and what writing it took.

    Raises:
        Error: what `stream_layered_image` and `Stream.build` raise.

    """
    check_progress(progress)
    is_layout(output)  # which refuses what is no name, before a store is opened
    check_extension(output, arguments.get("compressor"))
    check_format(output, arguments.get("format"))
    with stream_layered_image(progress=progress, **arguments) as stream:
        return stream.build(output, progress=progress)


def plan_layered_image(**arguments: Unpack[ImageArguments]) -> PlanResult:
    """Return which store path would go to which layer, without opening a store path or running a script.

    Args:
        **arguments: those of `ImageArguments`. What does not affect the layers, such as a script, is checked and not
            used, so that one set of arguments fits all functions.

    Returns:
        The plan: the layers of store paths in image order, the layers of the base image, and warnings.

    Raises:
        Error: what `stream_layered_image` raises.

    """
    warnings: list[str] = []
    spec = pin_base_image(Spec.parse(arguments), warnings)
    with open_store(spec, spec.embedded_store, warnings) as store:
        planned = plan(spec, store)
        decisions = describe_plan(spec, store, planned.layers)
    return replace(planned, warnings=(*warnings, *planned.warnings), decisions=decisions)


def verify_layer_cache(
    *,
    layer_cache: StrPath,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    progress: Progress | None = None,
) -> LayerCacheCheck:
    """Hash the layers of a layer cache and their store paths again, and remove the entries that are wrong.

    Args:
        layer_cache: the file; it is not created if it is missing.
        store: the stores to compare with, as in `stream_layered_image`. Layers whose paths they lack are not changed.
        progress: receives the progress of the work.

    Returns:
        How many layers are intact, absent and damaged.

    Raises:
        InvalidArgument: an argument is wrong.
        Unavailable: a store could not be read.
        FormatError: a graph file is broken.

    """
    from lamina.api.cache_folder import parse_cache_file
    from lamina.api.layer_cache import LayerCacheCheck, verify_layers
    from lamina.layer_cache.files import identify_file

    file, stores = parse_cache_file(layer_cache), StoreSpec.parse({"store": store})
    with contextlib.suppress(OSError):  # opening the file reports these
        if not (identify_file(file) or file.exists()):
            return LayerCacheCheck(exists=False)
    warnings: list[str] = []
    with open_layer_cache(str(file), warnings) as opened, open_store(stores, None, warnings) as source:
        checked = verify_layers(opened, source, progress)
    return replace(checked, warnings=tuple(warnings))


@contextlib.contextmanager
def open_layer_cache(file: str | None, warnings: list[str]) -> Iterator[LayerCache]:
    """Open the layer cache in ``file`` for the block, or none for None; add each warning about it once."""

    def warn(text: str) -> None:
        if text not in warnings:
            warnings.append(text)

    with LayerCache.open(Path(file), warn) if file else NullLayerCache() as layer_cache:
        yield layer_cache


def inspect(
    path: StrPath,
    *,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
) -> ListResult[InspectedImage]:
    """Return the images in an image file, an OCI layout or a registry.

    Every digest of a file is computed from its bytes, and the images are each a `SourceImage`. In a registry, only
    manifests and configs are read, and never a layer; the images are each a `RegistryImage`.

    Args:
        path: a file or folder, or ``FILE#NAME`` for only the images of that name; or a reference such as
            ``ghcr.io/me/app:1``, with or without ``docker://`` before it. A file of that name wins.
        platform: return only the images for this platform, such as ``linux/arm64``; None for all.
        max_unpacked_size: the most bytes that the image may unpack to, as a number or a string such as ``4GiB``. By
            default 2 GiB, or a hundred times the length of a larger file.
        insecure: whether a registry on another machine may be used over plain HTTP.
        progress: receives the progress of unpacking a compressed file, and of reading the layers of each image.

    Returns:
        The images, in the order of the file or of the registry's index. An image that the index lists and the registry
        lacks is a warning.

    Raises:
        InvalidArgument: an argument is wrong.
        InputError: the file is missing, or cannot be read.
        NotFound: the file has no image of that name.
        FormatError: the file is not an image.
        IntegrityError: the image contradicts itself.
        PlanError: no image is for ``platform``.
        RegistryError: the registry has no such image, or failed.
        AuthError: the registry refuses the credentials, or wants some.

    """
    from lamina.images.readers import select

    source, limit = select.parse_source(path), parse_size("max_unpacked_size", max_unpacked_size)
    wanted = Platform.parse(platform) if platform else None
    if isinstance(source, select.ImageFile):
        return ListResult(read_file(source, wanted, limit, progress))
    from lamina.images.readers.registry_image import read_registry_images
    from lamina.registry.open import open_repository

    with open_repository(source, insecure=parse_boolean("insecure", insecure)) as connection:
        warnings: list[str] = []
        return ListResult(read_registry_images(connection, source, wanted, warn=warnings.append), warnings)


def read_file(
    source: ImageFile,
    platform: Platform | None,
    max_unpacked: int | None,
    progress: Progress | None,
    *,
    reads_layers: bool = True,
) -> tuple[SourceImage, ...]:
    """Return the images in a file, or those that the user selected."""
    from lamina.images.readers import select
    from lamina.images.readers.open import open_images

    file, name = source.path, source.name
    selected = open_images(file, max_unpacked, progress, name=name, reads_layers=reads_layers)
    if name is not None:
        selected = select.select_by_name(selected, name, file, f"name one as {file}#NAME:TAG")
    return select.select_by_platform(selected, platform, file, select.PLATFORM_HINT) if platform else selected


def merge_images(
    images: Iterable[StrPath],
    *,
    output: StrPath | Writable,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    compressor: str | None = None,
    progress: Progress | None = None,
) -> ListResult[SourceImage]:
    """Write one docker-archive of the images in all these files and layouts (nixpkgs: dockerTools.mergeImages).

    Args:
        images: files and layouts, each ``FILE`` or ``FILE#NAME``.
        output: a file, written whole or not at all, or anything with a binary ``write``.
        platform: use only the images for this platform. By default all.
        max_unpacked_size: as in `inspect`, for each of the files.
        compressor: ``none``, ``gz`` or ``zstd``. By default the one that fits the file's extension.
        progress: receives the progress of the work.

    Returns:
        The images, each once with all its names.

    Raises:
        InvalidArgument: an argument is wrong, or two images have the same name.
        Error: what `inspect` and `Stream.build` raise.

    """
    from lamina.images.merge import collect_images, write_merged

    _check_file(output, compressor)
    chosen = Platform.parse(platform) if platform else None
    collected = collect_images(images, chosen, parse_size("max_unpacked_size", max_unpacked_size))
    with open_output(output, compressor=compressor) as out:
        write_merged(collected, out, progress, BuildContext(jobs=cpu_count()))
    return ListResult(collected)


def export_image(
    image: StrPath,
    *,
    output: StrPath | Writable,
    name: str | None = None,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    compressor: str | None = None,
    progress: Progress | None = None,
) -> SourceImage:
    """Write the root file system that an image's layers make as a tar (nixpkgs: dockerTools.exportImage).

    Args:
        image: a file or layout; ``FILE#NAME`` is short for ``name``.
        output: a file, written whole or not at all, or anything with a binary ``write``.
        name: NAME:TAG, a bare tag or an ID, needed if the file holds several images.
        platform: selects one of several images with the same name.
        max_unpacked_size: as in `inspect`.
        compressor: ``none``, ``gz`` or ``zstd``. By default the one that fits the file's extension.
        progress: receives the progress of the work.

    Returns:
        The image.

    Raises:
        InvalidArgument: an argument is wrong, or ``output`` is the image itself.
        NotFound: there is no such image, or there are several.
        Error: what `inspect` and `Stream.build` raise.

    """
    from lamina.images.export import ExportedRoot, write_root
    from lamina.images.readers import select
    from lamina.images.readers.open import open_images

    _check_file(output, compressor)
    file, name_in_file = select.split_name(image)
    chosen_name = name if name is not None else name_in_file
    _refuse_as_output(output, file)
    images = open_images(file, parse_size("max_unpacked_size", max_unpacked_size), name=chosen_name)
    if chosen_name is not None:
        images = select.select_by_name(images, chosen_name, file, _IMAGE_HINT)
    if platform:
        images = select.select_by_platform(images, Platform.parse(platform), file, select.PLATFORM_HINT)
    selected = select.select_single(images, file, _IMAGE_HINT if platform or chosen_name is None else _PLATFORM_HINT)
    root = ExportedRoot(selected, file)
    with open_output(output, compressor=compressor) as out:
        write_root(root, out, progress)
    return selected


def check_extension(output: object, compressor: str | None) -> None:
    """Raise `InvalidArgument` for a file whose extension names an unknown compression.

    Callers check this first, before a script runs or an image is read.
    """
    if compressor is None and isinstance(output, (str, os.PathLike)) and not is_layout(output):
        choose_compressor(os.path.basename(os.fspath(output)))


def check_format(output: StrPath, format_name: str | None) -> None:
    """Raise `InvalidArgument` if the output is a folder and the format that of a file only.

    Callers check this first, before a script runs or an image is read.
    """
    if format_name not in (None, LAYOUT_FORMAT) and is_layout(output):
        raise InvalidArgument(
            "format",
            short_repr(format_name),
            f"{LAYOUT_FORMAT} for an OCI layout, a folder",
            hint=f"name a file for another format, such as {os.path.join(os.fspath(output), 'NAME.tar')}",
        )


def _check_file(output: object, compressor: str | None) -> None:
    """Raise `InvalidArgument` for an output that is a folder, or whose extension names an unknown compression."""
    if isinstance(output, (str, os.PathLike)):
        parse_output_file(output)
    check_extension(output, compressor)


def _refuse_as_output(output: object, image: Path) -> None:
    """Raise `InvalidArgument` if writing ``output`` would overwrite the image that is read."""
    with contextlib.suppress(OSError, ValueError):
        if isinstance(output, (str, os.PathLike)) and os.path.samefile(output, image):
            raise InvalidArgument("output", f"{image}, the image itself", "another file")
