"""The document of ``lamina layout prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.cli.documents import Document

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.images.prune import LayoutImage, LayoutPruneResult


class LayoutImageDocument(TypedDict):
    """An image in an OCI layout."""

    name: Annotated[str, "Its name, as NAME:TAG or a tag alone; the digest if it has no name."]
    digest: Annotated[str, "The digest of its manifest."]


class LayoutBlobDocument(TypedDict):
    """A blob in an OCI layout."""

    digest: Annotated[str, "The digest of the blob."]
    size: Annotated[int, "Its size in bytes."]


class LayoutPruneDocument(Document):
    """The images and blobs that were removed from an OCI layout."""

    file: Annotated[str, "The folder of the layout."]
    dry_run: Annotated[bool, "Whether nothing was removed, because --dry-run was given."]
    removed: Annotated[list[LayoutImageDocument], "The images that were removed from the index, in its order."]
    kept: Annotated[list[LayoutImageDocument], "The images that are left, in the order of the index."]
    blobs: Annotated[list[LayoutBlobDocument], "The blobs that were removed, by digest."]
    size: Annotated[int, "The sum in bytes of the sizes of these blobs."]


def dump_layout_prune(layout: str, result: LayoutPruneResult, *, dry_run: bool) -> LayoutPruneDocument:
    """Return the document of ``lamina layout prune``."""
    return {
        "file": layout,
        "dry_run": dry_run,
        "removed": _dump_images(result.removed),
        "kept": _dump_images(result.kept),
        "blobs": [{"digest": blob.digest, "size": blob.size} for blob in result.blobs],
        "size": result.size,
        "warnings": [],
    }


def _dump_images(images: Iterable[LayoutImage]) -> list[LayoutImageDocument]:
    return [{"name": image.name, "digest": image.digest} for image in images]
