"""Open images that exist, in files and registries, so that they can be copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from lamina.api.images import read_file
from lamina.images.existing_image import FileImage, RemoteImage
from lamina.images.merge_index import FoundImage
from lamina.images.readers import select
from lamina.images.readers.registry_image import read_registry_images
from lamina.images.source_layers import can_be_sent_unread
from lamina.inputs.arguments import StrPath
from lamina.registry.open import open_repository

if TYPE_CHECKING:
    from lamina.core.progress import Progress
    from lamina.formats.platform import Platform
    from lamina.images.readers.source_image import SourceImage


def open_existing(
    images: Iterable[StrPath],
    stack: ExitStack,
    platform: Platform | None,
    max_unpacked: int | None,
    *,
    insecure: bool,
    verify: bool = False,
    progress: Progress | None = None,
) -> tuple[FoundImage, ...]:
    """Return the images of files, layouts and references, in order.

    Args:
        images: the files and references.
        stack: keeps the connections to registries open.
        platform: take only images for this platform.
        max_unpacked: as in `inspect`, for each of the files.
        insecure: whether a registry on another machine may be used over plain HTTP.
        verify: whether to read and check the layers of files first. By default they are read first only if they cannot
            be copied otherwise; each layer that is copied is compared with its digest in any case.
        progress: receives the progress of reading layers first.

    Raises:
        Error: what `inspect` raises.

    """
    found: list[FoundImage] = []
    for image in images:
        source = select.parse_source(image)
        if isinstance(source, select.ImageFile):
            read = read_copied_images(source, platform, max_unpacked, progress, verify=verify)
            found += [FoundImage(FileImage(one), source.path, source.name) for one in read]
        else:
            connection = stack.enter_context(open_repository(source, insecure=insecure))
            listed = read_registry_images(connection, source, platform)
            found += [FoundImage(RemoteImage(one, connection), source) for one in listed]
    return tuple(found)


def read_copied_images(
    source: select.ImageFile,
    platform: Platform | None,
    max_unpacked: int | None,
    progress: Progress | None,
    *,
    verify: bool,
) -> Sequence[SourceImage]:
    """Return the images of a file; layers are read only to verify them, or if they cannot be copied as they are."""
    read = partial(read_file, source, platform, max_unpacked, progress)
    images = read(reads_layers=verify)
    can_be_copied = all(can_be_sent_unread(layer) for image in images for layer in image.layers)
    return images if verify or can_be_copied else read(reads_layers=True)
