"""The public functions that fetch images from a registry."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.api.outputs import check_extension, open_output
from lamina.core.progress import Progress, check_progress
from lamina.errors import InvalidArgument, PlanError
from lamina.formats.platform import Platform
from lamina.images.blob_cache import BlobCache
from lamina.images.shared_blob_cache import make_blob_cache
from lamina.inputs.arguments import StrPath
from lamina.inputs.parsers import parse_boolean, parse_cache_path, parse_shared_cache, parse_size
from lamina.inputs.registry_names import parse_reference
from lamina.messages.redaction import short_repr
from lamina.registry.open import open_repository
from lamina.system.output import Writable, is_layout

if TYPE_CHECKING:
    from lamina.formats.registry_references import RegistryReference
    from lamina.images.pull import PullResult
    from lamina.images.pull_index import IndexPullResult
    from lamina.images.readers.registry_image import RegistryImage
    from lamina.registry.connection import RegistryConnection


def pull_image(
    reference: str,
    *,
    output: StrPath | Writable,
    platform: str | None = None,
    compressor: str | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    progress: Progress | None = None,
) -> PullResult:
    """Fetch an image from a registry, and write it to a file or into an OCI layout.

    Layers are fetched several at a time, and one whose connection is cut continues where it was. Every blob is checked
    by its digest.

    Args:
        reference: the image, such as ``ghcr.io/me/app:1`` or ``debian@sha256:…``.
        output: a file, written whole or not at all, which becomes a docker-archive; a folder or a name that ends in
            ``/``, which is an OCI layout with the blobs as they are; or anything with a binary ``write``.
        platform: selects one of several platforms, such as ``linux/arm64``. By default that of this machine, on linux.
        compressor: ``none``, ``gz`` or ``zstd``, for a file. By default the one that fits its extension.
        max_unpacked_size: the most bytes that the layers may unpack to, for a file; as in `inspect`.
        insecure: whether a registry on another machine may be used over plain HTTP.
        blob_cache: a folder or bucket in which layers are looked for first. By default there is none.
        local_blob_cache: the folder in front of a bucket.
        progress: receives the progress of fetching, and then, for a file, of writing.

    Returns:
        The image, its name in the file, and what was fetched.

    Raises:
        InvalidArgument: an argument is wrong.
        RegistryError: the registry has no such image, or failed.
        AuthError: the registry refuses the credentials, or wants some.
        IntegrityError: a blob does not match its digest.
        FormatError: the reference is not that of an image.
        PlanError: no image is for ``platform``.
        OutputError: ``output`` could not be written.

    """
    from lamina.images.pull import pull_into_archive, pull_into_layout

    began = time.monotonic()
    check_progress(progress)
    source = parse_reference("reference", reference)
    warnings: list[str] = []
    limit = parse_size("max_unpacked_size", max_unpacked_size)
    cache = _parse_blob_cache(blob_cache, local_blob_cache, warnings)
    check_extension(output, compressor)
    file = os.fsdecode(output) if isinstance(output, (str, os.PathLike)) else None
    layout = Path(file) if file is not None and is_layout(file) else None
    if layout and compressor not in (None, "none"):
        raise InvalidArgument("compressor", compressor, "none for an OCI layout, whose blobs stay as they are")
    with (
        closing(cache) if cache else nullcontext(),
        open_repository(source, insecure=parse_boolean("insecure", insecure)) as connection,
    ):
        image = _choose_image(connection, source, Platform.parse(platform) if platform else None)
        if layout:
            pulled = pull_into_layout(connection, image, layout, cache, progress)
        else:
            with open_output(output, compressor=compressor) as out:
                pulled = pull_into_archive(connection, image, out, cache, limit, progress)
    seconds = time.monotonic() - began
    return replace(pulled, file=file, seconds=seconds, warnings=(*pulled.warnings, *warnings))


def pull_index(
    reference: str,
    *,
    output: StrPath,
    insecure: bool = False,
    blob_cache: StrPath | None = None,
    local_blob_cache: StrPath | None = None,
    progress: Progress | None = None,
) -> IndexPullResult:
    """Fetch an image from a registry for all its platforms, and write it into an OCI layout.

    The index is written as it is, with all that it lists: images, attestations and other manifests. An image without an
    index is written as `pull_image` does it.

    Args:
        reference: the image, such as ``ghcr.io/me/app:1`` or ``debian@sha256:…``.
        output: a folder, or a name that ends in ``/``.
        insecure: whether a registry on another machine may be used over plain HTTP.
        blob_cache: a folder or bucket in which layers are looked for first. By default there is none.
        local_blob_cache: the folder in front of a bucket.
        progress: receives the progress of each image.

    Returns:
        The images, the digest of the index, its name in the layout, and what was fetched.

    Raises:
        InvalidArgument: an argument is wrong, or ``output`` is a file.
        RegistryError: the registry has no such image, lacks one that the index lists, or failed.
        AuthError: the registry refuses the credentials, or wants some.
        IntegrityError: a blob does not match its digest, or an image has another platform than the index states.
        FormatError: the reference is not that of an image.
        OutputError: ``output`` could not be written.

    """
    from lamina.images.pull_index import pull_index_into_layout
    from lamina.images.readers.registry_image import read_registry_images

    began = time.monotonic()
    check_progress(progress)
    source = parse_reference("reference", reference)
    warnings: list[str] = []
    cache = _parse_blob_cache(blob_cache, local_blob_cache, warnings)
    if not is_layout(output):
        hint = "name a folder, such as images/, or choose a platform for a file"
        raise InvalidArgument("output", f"{short_repr(str(output))} for all platforms", "a folder", hint=hint)
    with (
        closing(cache) if cache else nullcontext(),
        open_repository(source, insecure=parse_boolean("insecure", insecure)) as connection,
    ):
        images = read_registry_images(connection, source)
        pulled = pull_index_into_layout(connection, images, Path(output), cache, progress)
    seconds = time.monotonic() - began
    return replace(pulled, file=os.fsdecode(output), seconds=seconds, warnings=(*pulled.warnings, *warnings))


def _parse_blob_cache(place: StrPath | None, local: StrPath | None, warnings: list[str]) -> BlobCache | None:
    """Return the blob cache that the arguments name; warnings about it are added to ``warnings``."""
    checked = parse_shared_cache("blob_cache", place)
    return make_blob_cache(checked, parse_cache_path("local_blob_cache", local), warnings.append)


def _choose_image(
    connection: RegistryConnection, reference: RegistryReference, platform: Platform | None
) -> RegistryImage:
    """Return the image for ``platform``, or, of several, the one for this machine."""
    from lamina.images.readers.registry_image import read_registry_images

    return read_registry_images(connection, reference, platform, _detect_platform)[0]


def _detect_platform(_: Sequence[Platform]) -> Platform:
    """Return the platform of this machine; raise `PlanError` if images have no name for it."""
    import platform

    machine = platform.machine()
    try:
        return Platform.parse(machine)
    except InvalidArgument as error:
        got = f"{short_repr(machine)}, that of this machine"
        raise PlanError("platform", got, "one that images have", hint="say which with --platform") from error
