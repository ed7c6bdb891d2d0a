"""The base class of what receives the progress of writing an image."""

from __future__ import annotations

from lamina.images.image import Image
from lamina.layers.layer import LayerSource


class Progress:
    """Receives the steps of writing one image, in order.

    The methods do nothing. A subclass overrides those that it needs.
    """

    def begin(self, layers: int, base: int) -> None:
        """Report that an image of ``layers`` layers is about to be written, ``base`` of them from a base image."""

    def layer(self, number: int, source: LayerSource, size: int) -> None:
        """Report that layer ``number``, counted from 1, of ``size`` bytes is next."""

    def advance(self, size: int) -> None:
        """Report that ``size`` more bytes of the current layer have been written."""

    def manifests(self) -> None:
        """Report that all layers are written and that the JSON documents are next."""

    def done(self, image: Image) -> None:
        """Report that ``image`` has been written completely."""
