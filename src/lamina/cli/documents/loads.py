"""The document of ``lamina load``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lamina.cli.documents import Document
from lamina.cli.documents.images import ImageDocument, dump_layer

if TYPE_CHECKING:
    from lamina.api.load import LoadResult


class LoadDocument(ImageDocument, Document):
    """An image that was loaded into a container engine."""

    engine: Annotated[str, "The engine: docker, podman or containerd."]
    way: Annotated[
        str,
        "pull if the engine asked for the layers that it lacked, archive if it got the whole image.",
    ]
    blobs_sent: Annotated[int, "How many layers the engine got."]
    bytes_sent: Annotated[int, "How many bytes it got: layers and documents, or the archive."]
    seconds: Annotated[float, "How long it took to prepare and to load the image, in seconds."]


def dump_load(loaded: LoadResult) -> LoadDocument:
    """Return the document of an image that was loaded."""
    return {
        "id": loaded.id,
        "repo_tags": [loaded.repo_tag],
        "platform": loaded.platform,
        "size": sum(blob.size for blob in loaded.blobs),
        "layers": [
            dump_layer(layer.diff_id, blob.digest, blob.size, layer.paths)
            for layer, blob in zip(loaded.layers, loaded.blobs, strict=True)
        ],
        "engine": loaded.engine,
        "way": loaded.way,
        "blobs_sent": loaded.blobs_sent,
        "bytes_sent": loaded.bytes_sent,
        "seconds": round(loaded.seconds, 3),
        "warnings": list(loaded.warnings),
    }
