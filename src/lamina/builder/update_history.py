"""Collect knowledge about the updates of an image: rates that the user gives, and the earlier images of its history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lamina.builder.offline import refuse_reference
from lamina.formats.docker import list_layer_paths
from lamina.formats.platform import Platform
from lamina.inputs.spec import Spec
from lamina.layering import KnownUpdates, PastImage, arrange

if TYPE_CHECKING:
    from lamina.core.names import Digest
    from lamina.images.readers.source_image import InspectedImage


def read_known_updates(spec: Spec, warnings: list[str]) -> KnownUpdates:
    """Return the rates of ``spec``, and the store paths of the images in its history.

    Args:
        spec: the image.
        warnings: the list to which a message is added about each earlier image that nothing can be learnt from.

    Raises:
        InvalidArgument: the history has a reference, and the network may not be used.
        Error: any error of reading an image that is in the history.

    """
    return KnownUpdates(spec.rates, arrange(_read_history(spec, warnings)) if spec.history else ())


def _read_history(spec: Spec, warnings: list[str]) -> Sequence[PastImage]:
    """Return each earlier image once, in the order in which they are named."""
    from lamina.images.readers.earlier_versions import EarlierVersionReader

    def warn(message: str) -> None:
        warnings.append(f"history: {message}")

    platform = Platform.parse(spec.architecture) if spec.architecture else None
    reader = EarlierVersionReader(platform, warn, spec.insecure, spec.max_unpacked_size)
    found: dict[Digest, PastImage] = {}
    for item in spec.history:
        if spec.offline:
            refuse_reference("history", item, "earlier.tar")
        images = reader.read(item)
        for image in images:
            found.setdefault(image.digest, _describe(image))
        if images and not any(found[image.digest].paths for image in images):
            warn(f"{item}: no store paths in the history of its layers, so nothing is learnt from it")
    return tuple(found.values())


def _describe(image: InspectedImage) -> PastImage:
    """Return what can be learnt from an image; its name is without the registry, because images are copied."""
    paths = list_layer_paths(image.config, len(image.layers))
    name = image.full_name.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return PastImage(
        name,
        image.platform,
        _parse_date(image.config.get("created")),
        frozenset(path for each in paths for path in each),
    )


def _parse_date(text: object) -> datetime | None:
    """Return the time in a config, or None if it has none that is valid (RFC 3339)."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
