"""The document of ``lamina diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from lamina.cli.documents import Document
from lamina.cli.documents.images import BlobTotalDocument, dump_blob_total

if TYPE_CHECKING:
    from lamina.images.diff import DiffImage, DiffResult, LayerChange, PackageChange


class DiffImageDocument(TypedDict):
    """One of the two images."""

    id: Annotated[str, "The image ID: the digest of its config."]
    repo_tags: Annotated[list[str], "Its names, each as NAME:TAG."]
    platform: Annotated[str, "The platform, such as linux/amd64; empty if the image does not state it."]
    layer_count: Annotated[int, "How many layers it has."]
    size: Annotated[int, "The sum in bytes of the sizes of its layers' blobs, each counted once."]
    compressed: Annotated[bool, "Whether a layer is stored compressed, so that its size is not that of its tar."]


class LayerChangeDocument(TypedDict):
    """A layer of one of the images, or of both."""

    change: Annotated[str, "kept (both images have it), sent (only the new one) or gone (only the old one)."]
    number: Annotated[
        int, "How many layers there are up to it, itself included, in the new image; in the old one if it is gone."
    ]
    diff_id: Annotated[str, "The digest of the uncompressed tar: sha256: and 64 hexadecimal digits."]
    digest: Annotated[str, "The digest of the blob as it is stored, which may be compressed."]
    size: Annotated[int, "The size of the blob in bytes."]
    paths: Annotated[list[str], "The store paths of which the layer has files."]


class PackageChangeDocument(TypedDict):
    """A store path of both images, or the old and the new store path of a package."""

    change: Annotated[
        str,
        "kept (the update does not move it), re-sent (the same store path, in a layer that is sent), rebuilt (only the "
        "hash in the store path differs), updated (its name differs), added or removed.",
    ]
    old: Annotated[str | None, "The store path in the old image; null if it has none."]
    new: Annotated[
        str | None,
        "The store path in the new image; null if it has none. Both are null for files outside of store paths.",
    ]
    kept_size: Annotated[int, "Its share in bytes of the layers that both images have."]
    sent_size: Annotated[int, "Its share in bytes of the layers that only the new image has."]
    gone_size: Annotated[int, "Its share in bytes of the layers that only the old image has."]


class ConfigChangeDocument(TypedDict):
    """A part of the config that the images have differently."""

    key: Annotated[str, "The key in the OCI image configuration, such as Cmd or Env."]
    name: Annotated[
        str, "The variable of Env, or the key in Labels, ExposedPorts or Volumes; empty for the whole value."
    ]
    old: Annotated[Any, "The value in the old image; null if there is none."]
    new: Annotated[Any, "The value in the new image; null if there is none."]


class PlatformDiffDocument(TypedDict):
    """The differences between two images for one platform, and the number of bytes that an update moves."""

    old: Annotated[DiffImageDocument, "The old image."]
    new: Annotated[DiffImageDocument, "The new image."]
    kept: Annotated[BlobTotalDocument, "The blobs of the new image that the old one has too."]
    sent: Annotated[BlobTotalDocument, "The blobs that only the new image has, and that an update moves."]
    gone: Annotated[BlobTotalDocument, "The blobs that only the old image has."]
    layers: Annotated[list[LayerChangeDocument], "The layers of the new image, the lowest first, then those gone."]
    packages: Annotated[list[PackageChangeDocument], "All packages, those with the most bytes to send first."]
    config: Annotated[list[ConfigChangeDocument], "What differs in the configs."]


class DiffDocument(PlatformDiffDocument, Document):
    """The differences between two images; the keys of the first platform stand at the top level too."""

    platforms: Annotated[
        list[PlatformDiffDocument], "The differences for each platform that both images have, the first one included."
    ]
    only_old: Annotated[list[DiffImageDocument], "The images for platforms that the new image does not have."]
    only_new: Annotated[list[DiffImageDocument], "The images for platforms that the old image does not have."]


def dump_diff(result: DiffResult) -> DiffDocument:
    """Return the document of ``lamina diff``."""
    platforms = list(map(_dump_platform, result.platforms))
    return {
        **platforms[0],
        "platforms": platforms,
        "only_old": list(map(_dump_image, result.only_old)),
        "only_new": list(map(_dump_image, result.only_new)),
        "warnings": list(result.warnings),
    }


def _dump_platform(result: DiffResult) -> PlatformDiffDocument:
    return {
        "old": _dump_image(result.old),
        "new": _dump_image(result.new),
        "kept": dump_blob_total(result.kept),
        "sent": dump_blob_total(result.sent),
        "gone": dump_blob_total(result.gone),
        "layers": list(map(_dump_layer, result.layers)),
        "packages": list(map(_dump_package, result.packages)),
        "config": [
            {"key": change.key, "name": change.name, "old": change.old, "new": change.new} for change in result.config
        ],
    }


def _dump_image(image: DiffImage) -> DiffImageDocument:
    return {
        "id": image.id,
        "repo_tags": list(image.repo_tags),
        "platform": image.platform,
        "layer_count": image.layer_count,
        "size": image.size,
        "compressed": image.is_compressed,
    }


def _dump_layer(layer: LayerChange) -> LayerChangeDocument:
    return {
        "change": layer.change,
        "number": layer.number,
        "diff_id": str(layer.diff_id),
        "digest": str(layer.digest),
        "size": layer.size,
        "paths": list(map(str, layer.paths)),
    }


def _dump_package(package: PackageChange) -> PackageChangeDocument:
    return {
        "change": package.change,
        "old": str(package.old) if package.old else None,
        "new": str(package.new) if package.new else None,
        "kept_size": package.kept_size,
        "sent_size": package.sent_size,
        "gone_size": package.gone_size,
    }
