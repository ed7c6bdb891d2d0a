"""The documents of the verbs that write and read images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.cli.documents import DEPRECATED, Document

if TYPE_CHECKING:
    from lamina.api.merge import MergeResult
    from lamina.core.names import Digest, StorePath
    from lamina.formats.referrers import Referrer
    from lamina.images.blob_totals import BlobTotal, UpdateTotals
    from lamina.images.image import BuildResult
    from lamina.images.pull import PullResult
    from lamina.images.pull_index import IndexPullResult
    from lamina.images.readers.registry_image import RegistryImage
    from lamina.images.readers.source_image import InspectedImage, SourceImage
    from lamina.images.written_index import IndexBuildResult
    from lamina.system.transfer import BlobInfo

_File = Annotated[str | None, "The file or folder that was written; null if it went to stdout."]
_Table = Annotated[str | None, "The table of the spec file that describes the image; null without --spec."]


class LayerDocument(TypedDict):
    """A layer of an image."""

    diff_id: Annotated[str, "The digest of the uncompressed tar: sha256: and 64 hexadecimal digits."]
    digest: Annotated[str, "The digest of the blob as it is stored, which may be compressed."]
    size: Annotated[int, "The size of the blob in bytes."]
    paths: Annotated[list[str], "The store paths of which the layer has files."]


class BlobTotalDocument(TypedDict):
    """Some of the blobs of layers."""

    blob_count: Annotated[int, "How many blobs there are."]
    size: Annotated[int, "The sum of their sizes in bytes."]


class UpdateDocument(TypedDict):
    """The blobs that an update from one image to another moves."""

    kept: Annotated[BlobTotalDocument, "The blobs that both images have."]
    sent: Annotated[BlobTotalDocument, "The blobs that only the new image has."]
    gone: Annotated[BlobTotalDocument, "The blobs that only the old image has."]


class ImageDocument(TypedDict):
    """An image."""

    id: Annotated[str, "The image ID: the digest of its config."]
    repo_tags: Annotated[list[str], "Its names, each as NAME:TAG."]
    platform: Annotated[str, "The platform, such as linux/amd64; empty if the image does not state it."]
    size: Annotated[int, "The sum in bytes of the sizes of its layers' blobs."]
    layers: Annotated[list[LayerDocument], "The layers, the lowest first."]


class BuiltImageDocument(ImageDocument):
    """An image that was written."""

    table: _Table
    file: _File
    blobs_written: Annotated[int, "How many layers' blobs were written."]
    blobs_reused: Annotated[int, "How many layers' blobs were in the OCI layout before."]
    bytes_written: Annotated[int, "The size in bytes of the file; for an OCI layout, of the blobs that were written."]
    update: Annotated[
        UpdateDocument | None,
        "What an update from the image that had the same name in the OCI layout moves; null if there was none.",
    ]
    seconds: Annotated[float, "How long it took to prepare and to write the image, in seconds."]
    warnings: Annotated[list[str], "What the user should know about this image; each warning is one line."]


class BuiltIndexDocument(TypedDict):
    """An image index that was written."""

    digest: Annotated[str, "The digest of the index."]
    repo_tags: Annotated[list[str], "Its names, each as NAME:TAG."]
    platforms: Annotated[list[str], "The platforms of its images, in order."]
    table: _Table
    file: _File
    bytes_written: Annotated[int, "The size in bytes of the file; for an OCI layout, of the blobs that were written."]
    seconds: Annotated[float, "How long it took to prepare and to write all images, in seconds."]
    warnings: Annotated[list[str], "What the user should know about the images; each warning is one line."]


class BuildDocument(BuiltImageDocument):
    """The images that were written; the keys of the first one stand at the top level too, with all warnings."""

    images: Annotated[list[BuiltImageDocument], "All images, the first one included."]
    indexes: Annotated[list[BuiltIndexDocument], "The indexes of images for several platforms."]


class AttachedDocumentDocument(TypedDict):
    """A document that is attached to an image in a registry."""

    kind: Annotated[str, "What it is: sbom or provenance; empty if lamina did not attach it."]
    artifact_type: Annotated[str, "Its media type, such as application/spdx+json; empty if it is not stated."]
    digest: Annotated[str, "The digest of the manifest that attaches it."]


class PullDocument(ImageDocument, Document):
    """Images that were fetched from a registry; the keys of the first one stand at the top level too."""

    images: Annotated[list[ImageDocument], "All images, the first one included: several with --all-platforms."]
    digest: Annotated[str, "The digest of the manifest; with --all-platforms, that of the index."]
    reference: Annotated[str, "The image in the registry, with this digest."]
    file: _File
    blobs_fetched: Annotated[int, "How many layers came from the registry; the others were here already."]
    bytes_fetched: Annotated[int, "The sum in bytes of the sizes of these layers' blobs."]
    update: Annotated[
        UpdateDocument | None,
        "What differs from the image that had the same name in the OCI layout; null if there was none.",
    ]
    seconds: Annotated[float, "How long it took, in seconds."]


class MergedIndexDocument(TypedDict):
    """An index of images for several platforms that was written."""

    digest: Annotated[str, "The digest of the index."]
    repo_tags: Annotated[list[str], "Its name, as NAME:TAG."]
    platforms: Annotated[list[str], "The platforms of its images, in order."]


class MergeDocument(Document):
    """The images in an archive or an OCI layout that was written, or in a registry."""

    file: Annotated[str | None, "The file or folder that was written; null if it went to stdout or to a registry."]
    references: Annotated[list[str], "The names in registries, each with its digest; empty without --to."]
    images: Annotated[list[ImageDocument], "The images."]
    indexes: Annotated[list[MergedIndexDocument], "The indexes of images for several platforms."]


class ExportDocument(Document):
    """The image whose root file system was written."""

    file: _File
    id: Annotated[str, "The image ID: the digest of its config."]
    repo_tags: Annotated[list[str], "Its names, each as NAME:TAG."]
    platform: Annotated[str, "The platform, such as linux/amd64; empty if the image does not state it."]


class ScriptDocument(Document):
    """A script that streams an image."""

    file: Annotated[str, "The file of the script."]
    layer_count: Annotated[int, "How many layers the image has."]
    script: Annotated[str, DEPRECATED + "file."]
    layers: Annotated[int, DEPRECATED + "layer_count."]


def dump_build(documents: Sequence[BuildDocument]) -> BuildDocument:
    """Return the document of ``lamina build``, given one for each table of the spec file."""
    images = [image for document in documents for image in document["images"]]
    indexes = [index for document in documents for index in document["indexes"]]
    warnings = [
        f"image {document['table']}: {warning}" if len(documents) > 1 else warning
        for document in documents
        for warning in document["warnings"]
    ]
    return {**documents[0], "images": images, "indexes": indexes, "warnings": warnings}


def dump_written(
    written: BuildResult | IndexBuildResult, warnings: Iterable[str], table: str | None = None
) -> BuildDocument:
    """Return the document of an image that was written, or of images for several platforms and their index."""
    from lamina.images.written_index import IndexBuildResult

    if not isinstance(written, IndexBuildResult):
        image = _dump_built_image(written, warnings, table)
        return {**image, "images": [image], "indexes": []}
    images = [_dump_built_image(image, (), table) for image in written.images]
    index = _dump_built_index(written, warnings, table)
    return {**images[0], "images": images, "indexes": [index], "warnings": index["warnings"]}


def _dump_built_index(index: IndexBuildResult, warnings: Iterable[str], table: str | None) -> BuiltIndexDocument:
    return {
        "digest": str(index.digest),
        "repo_tags": [index.repo_tag],
        "platforms": [image.platform for image in index.images],
        "table": table,
        "file": index.file,
        "bytes_written": index.bytes_written,
        "seconds": round(index.seconds, 3),
        "warnings": list(warnings),
    }


def _dump_built_image(image: BuildResult, warnings: Iterable[str], table: str | None) -> BuiltImageDocument:
    return {
        "id": image.id,
        "repo_tags": [image.repo_tag],
        "platform": image.platform,
        "size": sum(blob.size for blob in image.blobs),
        "layers": [
            dump_layer(layer.diff_id, blob.digest, blob.size, layer.paths)
            for layer, blob in zip(image.layers, image.blobs, strict=True)
        ],
        "table": table,
        "file": image.file,
        "blobs_written": image.blobs_written,
        "blobs_reused": image.blobs_reused,
        "bytes_written": image.bytes_written,
        "update": dump_update(image.update) if image.update else None,
        "seconds": round(image.seconds, 3),
        "warnings": list(warnings),
    }


def dump_referrer(referrer: Referrer) -> AttachedDocumentDocument:
    """Return the part of a document that describes what is attached to an image."""
    return {"kind": referrer.kind, "artifact_type": referrer.artifact_type, "digest": str(referrer.digest)}


def dump_update(update: UpdateTotals) -> UpdateDocument:
    """Return the part of a document that describes an update."""
    return {
        "kept": dump_blob_total(update.kept),
        "sent": dump_blob_total(update.sent),
        "gone": dump_blob_total(update.gone),
    }


def dump_blob_total(total: BlobTotal) -> BlobTotalDocument:
    """Return the part of a document that describes some blobs."""
    return {"blob_count": total.count, "size": total.size}


def dump_pulled(result: PullResult) -> PullDocument:
    """Return the document of ``lamina pull``."""
    document = _dump_registry_image(result.image, str(result.name))
    return {
        **document,
        "images": [document],
        "digest": str(result.image.manifest.descriptor.digest),
        "reference": str(result.reference),
        "file": result.file,
        "blobs_fetched": result.blobs_fetched,
        "bytes_fetched": result.bytes_fetched,
        "update": dump_update(result.update) if result.update else None,
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
    }


def dump_pulled_index(result: IndexPullResult) -> PullDocument:
    """Return the document of ``lamina pull --all-platforms``."""
    images = [_dump_registry_image(image, str(result.name)) for image in result.images]
    return {
        **images[0],
        "images": images,
        "digest": str(result.digest),
        "reference": str(result.reference),
        "file": result.file,
        "blobs_fetched": result.blobs_fetched,
        "bytes_fetched": result.bytes_fetched,
        "update": None,
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
    }


def _dump_registry_image(image: RegistryImage, name: str) -> ImageDocument:
    return {
        "id": image.id,
        "repo_tags": [name],
        "platform": image.platform,
        "size": sum(layer.size for layer in image.layers),
        "layers": [dump_layer(layer.diff_id, layer.digest, layer.size, layer.paths) for layer in image.layers],
    }


def dump_merged(output: str, merged: MergeResult) -> MergeDocument:
    """Return the document of ``lamina merge``; ``output`` is the value of ``-o``."""
    return {
        "file": name_file(output),
        "references": [],
        "images": [_dump_merged_image(image, merged.blobs[image.digest]) for image in merged],
        "indexes": [
            {"digest": str(name.digest), "repo_tags": [str(name.name)], "platforms": list(name.platforms)}
            for name in merged.names
            if name.has_index
        ],
        "warnings": list(merged.warnings),
    }


def _dump_merged_image(image: InspectedImage, blobs: Sequence[BlobInfo]) -> ImageDocument:
    return {
        "id": image.id,
        "repo_tags": list(image.repo_tags),
        "platform": image.platform,
        "size": sum(blob.size for blob in blobs),
        "layers": [
            dump_layer(layer.diff_id, blob.digest, blob.size, layer.paths)
            for layer, blob in zip(image.layers, blobs, strict=True)
        ],
    }


def dump_export(output: str, image: SourceImage) -> ExportDocument:
    """Return the document of ``lamina export``; ``output`` is the value of ``-o``."""
    return {
        "file": name_file(output),
        "id": image.id,
        "repo_tags": list(image.repo_tags),
        "platform": image.platform,
        "warnings": [],
    }


def dump_script(output: str, layer_count: int, warnings: Iterable[str]) -> ScriptDocument:
    """Return the document of ``lamina script``; ``output`` is the value of ``-o``."""
    return {
        "file": output,
        "layer_count": layer_count,
        "script": output,
        "layers": layer_count,
        "warnings": list(warnings),
    }


def name_file(output: str) -> str | None:
    """Return the file that the value of ``-o`` names; None for ``-``, which is stdout."""
    return None if output == "-" else output


def dump_layer(diff_id: Digest, digest: Digest, size: int, paths: Iterable[StorePath]) -> LayerDocument:
    """Return the document of a layer; ``digest`` and ``size`` are those of its blob."""
    return {"diff_id": str(diff_id), "digest": str(digest), "size": size, "paths": list(map(str, paths))}
