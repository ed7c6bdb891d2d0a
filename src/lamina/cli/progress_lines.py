"""Progress as plain lines, the same ones that nixpkgs' ``stream_layered_image.py`` prints.

Invariant: the lines depend on the image alone, not on timing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from lamina.cli.output import escape_controls
from lamina.images.progress import Progress

if TYPE_CHECKING:
    from lamina.images.image import Image
    from lamina.layers.layer import LayerSource


class ProgressLines(Progress):
    """Writes one line for each layer to ``out``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, layers: int, base: int) -> None:
        """Print a line if there is no base image."""
        if not base:
            self._print_line("No 'fromImage' provided")

    def layer(self, number: int, source: LayerSource, size: int) -> None:
        """Print the headline of the layer that is written next."""
        self._print_line(source.headline(number))

    def manifests(self) -> None:
        """Print that the config and the manifest are written next."""
        self._print_line("Adding manifests...")

    def done(self, image: Image) -> None:
        """Print that the image is complete."""
        self._print_line("Done.")

    def _print_line(self, line: str) -> None:
        print(escape_controls(line), file=self._out, flush=True)
