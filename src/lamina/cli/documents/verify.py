"""The document of ``lamina verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.cli.documents import Document
from lamina.images.verification import VERDICTS

if TYPE_CHECKING:
    from lamina.images.verification import ImageVerificationResult, VerifiedLayer, VerifiedPath

_VERDICT = (
    "reproduced and signed (the store paths give the diff ID, and each is signed by a trusted key), reproduced (they "
    "give it, and one is not signed), differs, not in the stores (no store has one of the paths) or not of store paths "
    "(nothing is proven about the layer)."
)


class VerifiedPathDocument(TypedDict):
    """A store path of a layer that was reproduced."""

    path: Annotated[str, "The store path."]
    key: Annotated[
        str | None,
        "The name of the trusted key that signed it; 'content address' if its hash follows from its content; null if "
        "it does not count as signed.",
    ]
    reason: Annotated[str, "Why it does not count as signed; empty if it does."]


class VerifiedLayerDocument(TypedDict):
    """A layer of the image."""

    number: Annotated[int, "How many layers there are up to it, itself included."]
    name: Annotated[str, "A short name for people."]
    diff_id: Annotated[str, "The digest of the uncompressed tar, as the image's config states it."]
    digest: Annotated[str, "The digest of the blob as it is stored, which may be compressed."]
    size: Annotated[int, "The size of the blob in bytes."]
    paths: Annotated[list[str], "Its store paths, in packing order, as the image's history lists them."]
    verdict: Annotated[str, _VERDICT]
    reason: Annotated[str, "What differs or is missing; empty if nothing is."]
    differing_path: Annotated[str | None, "The store path with the first difference; null if none is known."]
    signatures: Annotated[list[VerifiedPathDocument], "Who signed its store paths, if the layer was reproduced."]


class VerdictCountDocument(TypedDict):
    """How many layers have a verdict."""

    verdict: Annotated[str, _VERDICT]
    layer_count: Annotated[int, "How many layers have it."]


class VerifyImageDocument(Document):
    """The proof that signed store paths give for the layers of an image."""

    id: Annotated[str, "The image ID: the digest of its config."]
    repo_tags: Annotated[list[str], "Its names, each as NAME:TAG."]
    platform: Annotated[str, "The platform, such as linux/amd64; empty if the image does not state it."]
    verified: Annotated[bool, "Whether no layer is a failure, so that the exit code is 0."]
    full: Annotated[bool, "Whether all bytes of the layers were read and compared with their digests."]
    requires_signatures: Annotated[bool, "Whether a store path without a trusted signature is a failure."]
    bytes_read: Annotated[int, "How many bytes of the image's blobs were read."]
    verdicts: Annotated[list[VerdictCountDocument], "The number of layers by verdict; all verdicts are listed."]
    layers: Annotated[list[VerifiedLayerDocument], "The layers, the lowest first."]


def dump_image_verification(result: ImageVerificationResult) -> VerifyImageDocument:
    """Return the document of ``lamina verify``."""
    return {
        "id": result.id,
        "repo_tags": list(result.repo_tags),
        "platform": result.platform,
        "verified": result.is_verified,
        "full": result.is_whole,
        "requires_signatures": result.requires_signatures,
        "bytes_read": result.bytes_read,
        "verdicts": [{"verdict": verdict, "layer_count": result.count(verdict)} for verdict in VERDICTS],
        "layers": list(map(_dump_layer, result.layers)),
        "warnings": list(result.warnings),
    }


def _dump_layer(layer: VerifiedLayer) -> VerifiedLayerDocument:
    return {
        "number": layer.number,
        "name": layer.name,
        "diff_id": str(layer.diff_id),
        "digest": str(layer.digest),
        "size": layer.size,
        "paths": list(map(str, layer.paths)),
        "verdict": layer.verdict,
        "reason": layer.reason,
        "differing_path": str(layer.differing_path) if layer.differing_path else None,
        "signatures": list(map(_dump_path, layer.checked_paths)),
    }


def _dump_path(checked: VerifiedPath) -> VerifiedPathDocument:
    return {"path": str(checked.path), "key": checked.key or None, "reason": checked.reason}
