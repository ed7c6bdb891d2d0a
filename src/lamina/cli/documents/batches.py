"""The document of ``lamina batch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.cli.documents import Document
from lamina.cli.documents.errors import FailureDocument

if TYPE_CHECKING:
    from lamina.core.names import Digest
    from lamina.errors import Error
    from lamina.fleet.results import BatchImage, BatchLayer, BatchResult


class BatchImageDocument(TypedDict):
    """An image of a batch."""

    name: Annotated[str, "The name of its table in the spec file, or FILE#NAME if two files have a table of that name."]
    reference: Annotated[str | None, "Its name and tag; null if it failed."]
    digest: Annotated[
        str | None, "The digest of its manifest, or of its index if it is for several platforms; or null."
    ]
    layers: Annotated[list[str], "The digests of its layers' blobs, as far as they are among layers; in no order."]
    blobs_mounted: Annotated[int, "How many layers' blobs the registry took from another of its repositories."]
    bytes_sent: Annotated[int, "The size in bytes of what was sent or written for this image alone."]
    seconds: Annotated[float, "How long its documents and its own layer took after its last layer, in seconds."]
    error: Annotated[FailureDocument | None, "Why it failed; null if it is done."]
    warnings: Annotated[list[str], "What the user should know about the image; each warning is one line."]


class BatchLayerDocument(TypedDict):
    """A layer of store paths that one or more images of a batch have."""

    outcome: Annotated[str, "The word made, reused if the layer was at its destination before, or failed."]
    diff_id: Annotated[str | None, "The digest of the uncompressed tar; null if it failed."]
    digest: Annotated[str | None, "The digest of the blob as it is stored; null if it failed."]
    size: Annotated[int, "The size of the blob in bytes."]
    nar_size: Annotated[int, "The sum in bytes of the sizes of its store paths."]
    names: Annotated[list[str], "The names of its store paths, without their hashes."]
    image_count: Annotated[int, "How many images have the layer."]
    worker: Annotated[str, "The worker that made it; empty if no worker was needed."]
    seconds: Annotated[float, "How long the worker took, in seconds."]


class BatchDocument(Document):
    """The images of spec files that were built together."""

    images: Annotated[list[BatchImageDocument], "The images, in the order of the spec files."]
    layers: Annotated[list[BatchLayerDocument], "The distinct layers of store paths, the largest first."]
    images_failed: Annotated[int, "How many images failed."]
    layers_made: Annotated[int, "How many of the layers were made."]
    layers_reused: Annotated[int, "How many of the layers were at their destination before."]
    blobs_mounted: Annotated[int, "How many layers' blobs the registry took from another of its repositories."]
    bytes_read: Annotated[int, "The size in bytes of the store paths of the layers that were made."]
    bytes_sent: Annotated[int, "The size in bytes of the blobs that were sent or written."]
    bytes_saved: Annotated[int, "The size in bytes of the blobs that images share, and that were not sent again."]
    workers: Annotated[str, "The workers that made the layers, in words."]
    seconds: Annotated[float, "How long it took, in seconds."]


def dump_batch(result: BatchResult) -> BatchDocument:
    """Return the document of a batch."""
    digests = {(layer.key, layer.compression): layer.digest for layer in result.layers}
    return {
        "images": [_dump_image(image, digests) for image in result.images],
        "layers": [_dump_layer(layer) for layer in result.layers],
        "images_failed": len(result.failed),
        "layers_made": result.layers_made,
        "layers_reused": result.layers_reused,
        "blobs_mounted": result.blobs_mounted,
        "bytes_read": result.bytes_read,
        "bytes_sent": result.bytes_sent,
        "bytes_saved": result.bytes_saved,
        "workers": result.workers,
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
    }


def _dump_image(image: BatchImage, digests: dict[tuple[Digest, str], Digest | None]) -> BatchImageDocument:
    found = (digests.get(layer) for layer in image.layers)
    return {
        "name": image.name,
        "reference": image.reference or None,
        "digest": str(image.digest) if image.digest else None,
        "layers": sorted(str(digest) for digest in found if digest),
        "blobs_mounted": image.blobs_mounted,
        "bytes_sent": image.bytes_sent,
        "seconds": round(image.seconds, 3),
        "error": _dump_error(image.error) if image.error else None,
        "warnings": list(image.warnings),
    }


def _dump_layer(layer: BatchLayer) -> BatchLayerDocument:
    return {
        "outcome": layer.outcome,
        "diff_id": str(layer.diff_id) if layer.diff_id else None,
        "digest": str(layer.digest) if layer.digest else None,
        "size": layer.blob_size,
        "nar_size": layer.nar_size,
        "names": list(layer.names),
        "image_count": layer.images,
        "worker": layer.worker,
        "seconds": round(layer.seconds, 3),
    }


def _dump_error(error: Error) -> FailureDocument:
    from lamina.cli.failures import Failure

    return Failure.of(error).to_document()
