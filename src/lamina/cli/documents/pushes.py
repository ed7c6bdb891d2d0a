"""The documents of verbs that push."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lamina.cli.documents import Document
from lamina.cli.documents.images import (
    AttachedDocumentDocument,
    ImageDocument,
    MergedIndexDocument,
    MergeDocument,
    UpdateDocument,
    dump_layer,
    dump_referrer,
    dump_update,
)

if TYPE_CHECKING:
    from lamina.images.writers.push_result import RegistryPushResult
    from lamina.images.writers.registry_index import IndexPushResult


class PushedImageDocument(ImageDocument):
    """An image that was pushed to registries."""

    digest: Annotated[str, "The digest of the manifest; at the top level, that of the index if there is one."]
    references: Annotated[list[str], "The names that it was pushed to, each with its digest."]
    blobs_sent: Annotated[int, "How many layers' blobs were sent; a blob that several layers have counts once."]
    blobs_mounted: Annotated[int, "How many layers' blobs the registry took from another of its repositories."]
    blobs_reused: Annotated[int, "How many layers' blobs were there before."]
    bytes_sent: Annotated[int, "The size in bytes of the layers' blobs that were sent."]
    update: Annotated[
        UpdateDocument | None,
        "What an update from the image that the first reference named before moves; null if there was none.",
    ]
    attached: Annotated[list[AttachedDocumentDocument], "The documents about the image that were attached to it."]
    seconds: Annotated[float, "How long it took to prepare and to push the image, in seconds."]


class PushDocument(PushedImageDocument, Document):
    """The images that were pushed to registries; the keys of the first one, and the names of an index, stand on top."""

    images: Annotated[
        list[PushedImageDocument],
        "All images, one for each platform, the first one included. Of several, digest, references, repo_tags and "
        "seconds at the top level are those of their index.",
    ]


def dump_push(pushed: RegistryPushResult | IndexPushResult) -> PushDocument:
    """Return the document of a push of one image, or of images for several platforms and their index."""
    from lamina.images.writers.registry_index import IndexPushResult

    if not isinstance(pushed, IndexPushResult):
        image = _dump_image(pushed)
        return {**image, "images": [image], "warnings": list(pushed.warnings)}
    images = [_dump_image(image) for image in pushed.images]
    return {
        **images[0],
        "repo_tags": list(pushed.repo_tags),
        "digest": str(pushed.digest),
        "references": list(pushed.references),
        "seconds": round(pushed.seconds, 3),
        "images": images,
        "warnings": list(pushed.warnings),
    }


def _dump_image(pushed: RegistryPushResult) -> PushedImageDocument:
    return {
        "id": pushed.id,
        "repo_tags": list(pushed.repo_tags),
        "platform": pushed.platform,
        "size": sum(blob.size for blob in pushed.blobs),
        "layers": [
            dump_layer(layer.diff_id, blob.digest, blob.size, layer.paths)
            for layer, blob in zip(pushed.layers, pushed.blobs, strict=True)
        ],
        "digest": str(pushed.manifest_digest),
        "references": list(pushed.references),
        "blobs_sent": pushed.blobs_sent,
        "blobs_mounted": pushed.blobs_mounted,
        "blobs_reused": pushed.blobs_reused,
        "bytes_sent": pushed.bytes_sent,
        "update": dump_update(pushed.update) if pushed.update else None,
        "attached": list(map(dump_referrer, pushed.attached)),
        "seconds": round(pushed.seconds, 3),
    }


def dump_merged_push(pushed: IndexPushResult) -> MergeDocument:
    """Return the document of ``lamina merge --to``."""
    index: MergedIndexDocument = {
        "digest": str(pushed.digest),
        "repo_tags": list(pushed.repo_tags),
        "platforms": [image.platform for image in pushed.images],
    }
    return {
        "file": None,
        "references": list(pushed.references),
        "images": [_dump_image(image) for image in pushed.images],
        "indexes": [index] if len(pushed.images) > 1 else [],
        "warnings": list(pushed.warnings),
    }
