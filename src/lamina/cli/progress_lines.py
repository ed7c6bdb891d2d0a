"""Progress as the plain lines that nixpkgs' streamer prints.

Invariant: the lines do not depend on how fast anything goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from lamina.cli.output import one_line

if TYPE_CHECKING:
    from lamina.images.image import Image
    from lamina.layers.layer import LayerSource


class Lines:
    """Writes one line per layer to ``out``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, layers: int, base: int) -> None:
        """Says where there is no base image."""
        if not base:
            self._say("No 'fromImage' provided")

    def layer(self, number: int, source: LayerSource, size: int) -> None:
        """Names the layer that comes next."""
        self._say(source.headline(number))

    def advance(self, size: int) -> None:
        """Nothing: bytes are no line."""

    def manifests(self) -> None:
        """Says that the documents come."""
        self._say("Adding manifests...")

    def done(self, image: Image) -> None:
        """Says that all is written."""
        self._say("Done.")

    def _say(self, line: str) -> None:
        print(one_line(line), file=self._out, flush=True)
