"""How the writing of an image is reported."""

from __future__ import annotations

from typing import Protocol

from lamina.images.image import Image
from lamina.layers.layer import LayerSource


class Progress(Protocol):
    """Who is told how the work goes."""

    def begin(self, layers: int, base: int) -> None:
        """An image of so many layers, of which so many are a base image's, is about to be written."""

    def layer(self, number: int, source: LayerSource, size: int) -> None:
        """Layer ``number``, counted from 1, of ``size`` bytes comes next."""

    def advance(self, size: int) -> None:
        """So many more bytes of the layer are done."""

    def manifests(self) -> None:
        """The layers are done, the documents come."""

    def done(self, image: Image) -> None:
        """All is written."""


class NoProgress:
    """The `Progress` that nobody hears."""

    def begin(self, layers: int, base: int) -> None:
        """Nothing."""

    def layer(self, number: int, source: LayerSource, size: int) -> None:
        """Nothing."""

    def advance(self, size: int) -> None:
        """Nothing."""

    def manifests(self) -> None:
        """Nothing."""

    def done(self, image: Image) -> None:
        """Nothing."""
