"""The document of ``lamina inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from lamina.cli.documents import DEPRECATED, Document
from lamina.cli.documents.images import AttachedDocumentDocument, ImageDocument, dump_layer, dump_referrer

if TYPE_CHECKING:
    from lamina.api.results import ListResult
    from lamina.images.readers.image_index import ImageIndex
    from lamina.images.readers.source_image import InspectedImage


class SourceImageDocument(ImageDocument):
    """An image in a file, an OCI layout or a registry."""

    tags: Annotated[list[str], "The names in an OCI layout that do not have the form NAME:TAG."]
    architecture: Annotated[str | None, "The processor architecture that its config states, as GOARCH."]
    created: Annotated[str | None, "When it was created, as its config states it."]
    annotations: Annotated[dict[str, str], "The annotations of its manifest; empty for a docker-archive."]
    digest: Annotated[str | None, "The digest of its manifest; null for a docker-archive."]
    attached: Annotated[
        list[AttachedDocumentDocument],
        "The documents that are attached to it in a registry; empty without --attached.",
    ]
    config: Annotated[dict[str, Any] | None, "The settings of a container, as in the OCI image configuration."]


class IndexedManifestDocument(TypedDict):
    """An entry of an index."""

    digest: Annotated[str, "The digest of the manifest; empty if the index states none."]
    media_type: Annotated[str, "The type of the manifest."]
    size: Annotated[int, "The size of the manifest in bytes."]
    platform: Annotated[str, "The platform that the index states for the image; empty if it states none."]
    annotations: Annotated[dict[str, str], "The annotations of the entry."]


class IndexDocument(TypedDict):
    """An index of images for several platforms."""

    digest: Annotated[str, "The digest of the index."]
    media_type: Annotated[str, "The type of the index: OCI's, or that of docker's manifest list."]
    repo_tags: Annotated[list[str], "The names of the index, each as NAME:TAG."]
    tags: Annotated[list[str], "The names in an OCI layout that do not have the form NAME:TAG."]
    annotations: Annotated[dict[str, str], "The annotations of the index."]
    manifests: Annotated[list[IndexedManifestDocument], "All that it lists: images, attestations and indexes."]


class InspectDocument(SourceImageDocument, Document):
    """The images in a file, an OCI layout or a registry; the keys of the first one stand at the top level too."""

    images: Annotated[list[SourceImageDocument], "All images, the first one included."]
    indexes: Annotated[list[IndexDocument], "The indexes of images that list them."]
    others: Annotated[list[SourceImageDocument], DEPRECATED + "images: without the first one."]


def dump_inspection(images: ListResult[InspectedImage]) -> InspectDocument:
    """Return the document of ``lamina inspect``."""
    first, *others = documents = list(map(_dump_source_image, images))
    return {
        **first,
        "images": documents,
        "indexes": [
            _dump_index(index) for index in dict.fromkeys(index for image in images for index in image.indexes)
        ],
        "others": others,
        "warnings": list(images.warnings),
    }


def _dump_index(index: ImageIndex) -> IndexDocument:
    return {
        "digest": str(index.digest),
        "media_type": index.descriptor.media_type,
        "repo_tags": list(index.repo_tags),
        "tags": list(index.tags),
        "annotations": index.annotations,
        "manifests": [
            {
                "digest": listed.digest,
                "media_type": listed.media_type,
                "size": listed.size,
                "platform": str(listed.platform),
                "annotations": dict(listed.annotations),
            }
            for listed in index.manifests
        ],
    }


def _dump_source_image(image: InspectedImage) -> SourceImageDocument:
    return {
        "id": image.id,
        "repo_tags": list(image.repo_tags),
        "platform": image.platform,
        "size": sum(layer.size for layer in image.layers),
        "layers": [dump_layer(layer.diff_id, layer.digest, layer.size, layer.paths) for layer in image.layers],
        "tags": list(image.tags),
        "architecture": image.config.get("architecture"),
        "annotations": dict(image.annotations),
        "digest": str(image.manifest_digest) if image.manifest_digest else None,
        "created": image.config.get("created"),
        "attached": list(map(dump_referrer, image.attached)),
        "config": image.config.get("config"),
    }
