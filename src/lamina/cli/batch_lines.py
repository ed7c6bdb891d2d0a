"""The progress of a batch as plain lines: one for each layer that is made, and one for each image.

layer  12/335   llvm-14-dev                  312.4 MiB  made in 21.3 s
image  45/200   ghcr.io/me/web:1             sha256:3f2a…  in 14 layers
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from lamina.cli.batch_counts import BatchCounts
from lamina.cli.output import print_progress
from lamina.cli.reporting import format_count
from lamina.core.labels import shorten_digest
from lamina.fleet.results import REUSED
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.fleet.results import BatchImage, BatchLayer

_NAME_WIDTH = 40


class BatchLines(BatchCounts):
    """Writes to ``out``."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def connect(self, workers: str, dashboard: str) -> None:
        """Print the link of the page about the workers, if there is one."""
        if dashboard:
            self._print(f"workers: {workers}; dashboard: {dashboard}")

    def prepare(self, images: int) -> None:
        """Print how many images are planned, which can take a while."""
        super().prepare(images)
        self._print(f"planning {format_count(images, 'image')}")

    def begin(self, images: int, layers: int) -> None:
        """Print how many layers there are."""
        super().begin(images, layers)
        self._print(f"{format_count(images, 'image')}, {format_count(layers, 'distinct layer')}")

    def layer(self, layer: BatchLayer) -> None:
        """Print a layer, unless it was there."""
        super().layer(layer)
        if layer.outcome != REUSED:
            count = self.made + self.reused + self.failed_layers
            name = _name_layer(layer.names)
            size = format_size(layer.blob_size) if layer.blob_size else ""
            self._print_item("layer", count, self.layers, name, f"{size:>10}  {layer.outcome} in {layer.seconds:.1f} s")

    def image(self, image: BatchImage) -> None:
        """Print an image."""
        super().image(image)
        name = image.reference or image.name
        if image.error or not image.digest:
            fact = f"failed: {image.error}"
        else:
            fact = f"{shorten_digest(image.digest)}  {format_count(len(image.layers), 'store layer')}"
        self._print_item("image", self.done + self.failed, self.images, name, fact)

    def retry(self, subject: str, error: BaseException) -> None:
        """Print what is tried again, and why."""
        super().retry(subject, error)
        if line := self.describe_retry(subject, error):
            self._print(line)

    def stop(self) -> None:
        """Do nothing: a line stays."""

    def _print_item(self, noun: str, number: int, total: int, name: str, fact: str) -> None:
        self._print(f"{noun} {f'{number}/{total}':>11}  {name:<{_NAME_WIDTH}}  {fact}")

    def _print(self, line: str) -> None:
        print_progress(line, self._out)


def _name_layer(names: tuple[str, ...]) -> str:
    return f"{names[0]} +{len(names) - 1}" if len(names) > 1 else "".join(names)
