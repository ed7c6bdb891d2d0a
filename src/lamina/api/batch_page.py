"""The page of a batch, made of its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.core.labels import shorten_digest
from lamina.reports.batch_entries import BatchEntries, BatchImageEntry, BatchLayerEntry
from lamina.reports.batch_page import make_batch_page

if TYPE_CHECKING:
    from lamina.fleet.results import BatchImage, BatchLayer, BatchResult


def make_report(title: str, result: BatchResult) -> bytes:
    """Return the page of a batch in UTF-8.

    Args:
        title: where its images went.
        result: the images and layers.

    """
    numbers = {(layer.key, layer.compression): number for number, layer in enumerate(result.layers)}

    def describe(image: BatchImage) -> BatchImageEntry:
        return BatchImageEntry(
            image.name,
            tuple(sorted(numbers[layer] for layer in image.layers)),
            image.reference,
            shorten_digest(image.digest) if image.digest else "",
            image.bytes_sent,
            str(image.error) if image.error else "",
        )

    return make_batch_page(
        title,
        BatchEntries(
            [describe(image) for image in result.images],
            [BatchLayerEntry(_name_layer(layer), layer.blob_size, layer.outcome) for layer in result.layers],
            result.blobs_mounted,
            result.seconds,
            result.workers,
        ),
    )


def _name_layer(layer: BatchLayer) -> str:
    first, *others = layer.names
    return f"{first} +{len(others)}" if others else first
