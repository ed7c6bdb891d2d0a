"""Documents that are attached to an image when it is pushed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lamina.core.names import Digest
from lamina.formats.oci import Descriptor
from lamina.formats.referrers import AttachedDocument
from lamina.layers.layer import Layer


@dataclass(frozen=True, slots=True)
class PushedImage:
    """An image whose blobs are in the registries, before a tag names it.

    Attributes:
        digest: the image ID.
        manifest: the descriptor of its manifest.
        names: where it is pushed to, each once, as ``HOST/NAME``.
        platform: such as ``linux/amd64``.
        layers: its layers, from the lowest up.
    """

    digest: Digest
    manifest: Descriptor
    names: tuple[str, ...]
    platform: str
    layers: tuple[Layer, ...]


DescribeImage = Callable[[PushedImage], Sequence[AttachedDocument]]
"""Returns the documents to attach to an image."""


def describe_nothing(image: PushedImage) -> Sequence[AttachedDocument]:
    """Attach no document to ``image``."""
    return ()
