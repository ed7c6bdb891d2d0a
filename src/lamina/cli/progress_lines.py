"""Progress as the plain lines that nixpkgs' streamer prints.

Invariant: the lines do not depend on how fast anything goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from lamina.cli.output import escape_controls

if TYPE_CHECKING:
    from lamina.images.image import Image
    from lamina.layers.layer import LayerSource


class ProgressLines:
    """Writes one line per layer to ``out``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, layers: int, base: int) -> None:
        """Says where there is no base image."""
        if not base:
            self._print_line("No 'fromImage' provided")

    def layer(self, number: int, source: LayerSource, size: int) -> None:
        """Names the layer that comes next."""
        self._print_line(source.headline(number))

    def advance(self, size: int) -> None:
        """Nothing: bytes are no line."""

    def manifests(self) -> None:
        """Says that the documents come."""
        self._print_line("Adding manifests...")

    def done(self, image: Image) -> None:
        """Says that all is written."""
        self._print_line("Done.")

    def _print_line(self, line: str) -> None:
        print(escape_controls(line), file=self._out, flush=True)
