"""Read the images of all tags of a repository. No layer is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from lamina.core.natural_order import natural_key
from lamina.errors import FormatError, PlanError
from lamina.formats.platform import Platform
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers.registry_image import RegistryImage, read_registry_images
from lamina.registry.connection import RegistryConnection
from lamina.registry.manifests import list_tags
from lamina.system.threads import ThreadPool

MAX_TAGS = 100
"""The most tags whose images are read: each takes two requests."""
_THREADS = 4
# Tags of signatures and of lists of referrers (OCI distribution-spec, "Referrers Tag Schema"), which are no images.
_ATTACHED = re.compile("sha256-[0-9a-f]{64}([.].*)?")


def read_tagged_images(
    connection: RegistryConnection,
    reference: RegistryReference,
    platform: Platform | None,
    warn: Callable[[str], object],
) -> tuple[RegistryImage, ...]:
    """Return the images of the tags of a repository, in the natural order of the tags, the last `MAX_TAGS` at most.

    Args:
        connection: the repository of ``reference``.
        reference: names the repository; its tag is not used.
        platform: return only images for this platform; None for all.
        warn: is called with a message about each tag that is left out.

    Returns:
        The images; those of one tag are together. None if there is no such repository.

    Raises:
        RegistryError: the registry failed.
        AuthError: the registry refuses the credentials, or wants some.
        IntegrityError: a document does not match its digest.

    """
    tags = sorted((tag for tag in list_tags(connection) if not _ATTACHED.fullmatch(tag)), key=natural_key)
    if len(tags) > MAX_TAGS:
        warn(f"{reference.name}: got {len(tags)} tags, used the last {MAX_TAGS} in their natural order")
        tags = tags[-MAX_TAGS:]

    def read(tag: str) -> tuple[tuple[RegistryImage, ...], list[str]]:
        warnings: list[str] = []
        try:
            named = replace(reference, tag=tag, digest=None)
            return read_registry_images(connection, named, platform, warn=warnings.append), warnings
        except (FormatError, PlanError) as error:
            return (), [f"{error}; it is left out"]

    with ThreadPool(_THREADS, "lamina-tags") as pool:
        read_images = pool.map(read, tags)
    for _, messages in read_images:
        for message in messages:
            warn(message)
    return tuple(image for images, _ in read_images for image in images)
