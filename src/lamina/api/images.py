"""The public functions that make and read images.

The arguments are those of one table (`lamina.ImageArguments`). Every error is a `lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lamina.api.decisions import describe_plan
from lamina.api.outputs import check_extension, check_format, open_output
from lamina.api.results import ListResult
from lamina.api.stream import Stream
from lamina.builder.prepare import PlanResult, plan, prepare
from lamina.core.progress import Progress, check_progress
from lamina.errors import InvalidArgument
from lamina.formats.platform import Platform
from lamina.images.image import BuildResult
from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.layer_caches import open_layer_cache, open_spec_layer_cache, without_local_file
from lamina.inputs.parsers import is_shared_cache, parse_boolean, parse_shared_cache, parse_size
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.spec import Spec, StoreSpec
from lamina.inputs.stores import open_store
from lamina.stores.cached import CachedStore
from lamina.stores.store import StoreLike
from lamina.system.output import Writable, is_layout, parse_output_file

if TYPE_CHECKING:
    from lamina.api.layer_cache import LayerCacheCheck
    from lamina.images.readers.select import ImageFile
    from lamina.images.readers.source_image import InspectedImage, SourceImage

_IMAGE_HINT = "name one with --image"
_PLATFORM_HINT = "say which with --platform"


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
    stream_warnings: list[str] = []  # the blob cache adds to it while the image is written
    spec = pin_base_image(Spec.parse(arguments), warnings)
    with ExitStack() as resources, open_spec_layer_cache(spec, warnings) as layer_cache:
        if not layer_cache.is_available:
            # When the image is written, another attempt to open it would wait for the same lock again.
            spec = without_local_file(spec)
        store = resources.enter_context(open_store(spec, spec.embedded_store, warnings))
        prepared = prepare(
            spec,
            CachedStore(store, layer_cache),
            datetime.now(UTC),
            progress,
            stream_warnings.append,
            plan_cache=layer_cache,
        )
        draft = replace(prepared.draft, store=store)
        resources.callback(draft.close)
        kept = resources.pop_all()
    stream_warnings[:0] = (*warnings, *prepared.warnings)
    seconds = time.monotonic() - began
    return Stream(draft, stream_warnings, prepared.script_output, spec, kept.close, seconds, prepared.sandbox)


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
    local_layer_cache: StrPath | None = None,
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    progress: Progress | None = None,
) -> LayerCacheCheck:
    """Hash the layers of a layer cache and their store paths again, and remove the entries that are wrong.

    Args:
        layer_cache: the file; it is not created if it is missing. With the URL of a shared layer cache, wrong entries
            are removed from there too.
        local_layer_cache: the file in front of a layer cache with a URL. Its layers are those that are checked.
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

    place = parse_shared_cache("layer_cache", layer_cache)
    if place and is_shared_cache(place):
        file = parse_cache_file(local_layer_cache, "local_layer_cache")
    else:
        file = parse_cache_file(layer_cache)
        place = str(file)
    stores = StoreSpec.parse({"store": store})
    with contextlib.suppress(OSError):  # opening the file reports these
        if not (identify_file(file) or file.exists()):
            return LayerCacheCheck(exists=False)
    warnings: list[str] = []
    opened_cache = open_layer_cache(place, warnings, local=str(file))
    with opened_cache as opened, open_store(stores, None, warnings) as source:
        checked = verify_layers(opened, source, progress)
    return replace(checked, warnings=tuple(warnings))


def inspect(
    path: StrPath,
    *,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    attached: bool = False,
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
        attached: whether to ask the registry for the documents that are attached to each image, such as a software bill
            of materials. That takes one or two more requests for each image.
        progress: receives the progress of unpacking a compressed file, and of reading the layers of each image.

    Returns:
        The images, in the order of the file or of the registry's index; ``indexes`` of each are the indexes that list
        it. Warnings are about images that the index lists and the registry lacks, and about images with another
        platform than their index states.

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
    is_asked = parse_boolean("attached", attached)
    from lamina.images.readers.index_checks import list_index_warnings

    if isinstance(source, select.ImageFile):
        if is_asked:
            hint = "documents are attached to images in registries"
            raise InvalidArgument("attached", f"true and the file {source.path}", "a reference", hint=hint)
        images = read_file(source, wanted, limit, progress)
        return ListResult(images, list_index_warnings(images))
    from lamina.images.readers.registry_image import read_registry_images
    from lamina.registry.open import open_repository

    with open_repository(source, insecure=parse_boolean("insecure", insecure)) as connection:
        warnings: list[str] = []
        found = read_registry_images(connection, source, wanted, warn=warnings.append)
        if is_asked:
            from lamina.registry.referrers import list_referrers

            found = tuple(
                replace(image, attached=list_referrers(connection, image.manifest.descriptor.digest)) for image in found
            )
        return ListResult(found, (*warnings, *list_index_warnings(found)))


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
    from lamina.images.readers.open import open_named_images

    named = open_named_images(source, max_unpacked, progress, reads_layers=reads_layers)
    return select.select_by_platform(named, platform, source.path, select.PLATFORM_HINT) if platform else named


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
