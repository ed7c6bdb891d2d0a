"""The result of `lamina.verify_image`: a verdict for each layer of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from lamina.core.labels import shorten_digest
from lamina.core.names import Digest, StorePath

Verdict = Literal["reproduced and signed", "reproduced", "differs", "not in the stores", "not of store paths"]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced and signed",
    "reproduced",
    "differs",
    "not in the stores",
    "not of store paths",
)
"""All verdicts, in the order of a summary."""

CONTENT_ADDRESS = "content address"
"""Stands in place of a key's name if a store path needs no signature, because its hash follows from its content."""


@dataclass(frozen=True, slots=True)
class VerifiedPath:
    """A store path of a layer that was reproduced.

    Attributes:
        path: the store path.
        key: the name of the trusted key that signed it, or `CONTENT_ADDRESS`; empty if it is not signed.
        reason: why it does not count as signed; empty if it does.
    """

    path: StorePath
    key: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedLayer:
    """A layer of an image, and what its store paths prove of it.

    Attributes:
        number: its position in the image, counted from 1 at the lowest.
        name: a short name for people.
        diff_id: the digest of its uncompressed tar, as the image's config states it.
        digest: the digest of its blob, which may be compressed.
        size: the size of its blob in bytes.
        paths: its store paths, in packing order, as the image's history lists them.
        verdict: ``reproduced and signed`` if the store paths give the diff ID and each is signed by a trusted key;
            ``reproduced`` if they give it and one is not signed; ``differs`` if they do not give it, or if the layer's
            bytes do not have it; ``not in the stores`` if no store has one of the paths; ``not of store paths`` for
            any other layer, about which nothing is proven.
        reason: what differs or is missing, as ``SUBJECT: got X, expected Y``; empty if nothing is.
        differing_path: the store path with the first difference; None if none is known.
        checked_paths: the store paths and who signed them, if the layer was reproduced.
    """

    number: int
    name: str
    diff_id: Digest
    digest: Digest
    size: int
    paths: tuple[StorePath, ...]
    verdict: Verdict
    reason: str = ""
    differing_path: StorePath | None = None
    checked_paths: tuple[VerifiedPath, ...] = ()

    @property
    def unsigned_paths(self) -> tuple[VerifiedPath, ...]:
        """The reproduced store paths that no trusted key signed."""
        return tuple(checked for checked in self.checked_paths if not checked.key)

    def __repr__(self) -> str:
        return f"<VerifiedLayer {self.number} {self.name}: {self.verdict}>"


@dataclass(frozen=True, slots=True)
class ImageVerificationResult:
    """The result of verifying an image.

    Attributes:
        digest: the image ID.
        repo_tags: its names as NAME:TAG.
        platform: such as ``linux/amd64``; empty if the image does not state it.
        layers: its layers, from the lowest up.
        is_whole: whether all bytes of the layers were read and compared with their digests.
        requires_signatures: whether a store path that no trusted key signed is a failure.
        bytes_read: the number of bytes of the image's blobs that were read.
        warnings: what the user should know about the result.
    """

    digest: Digest
    repo_tags: tuple[str, ...]
    platform: str
    layers: tuple[VerifiedLayer, ...]
    is_whole: bool
    requires_signatures: bool
    bytes_read: int = field(compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        """The image ID as engines print it."""
        return str(self.digest)

    @property
    def is_verified(self) -> bool:
        """Whether no layer is a failure: none differs, no store path is missing, and the demanded signatures exist."""
        return not self.failures

    @property
    def failures(self) -> tuple[VerifiedLayer, ...]:
        """The layers that differ, then those that lack a demanded signature, then those that no store has."""
        wanted: Sequence[Verdict] = ("differs", *(("reproduced",) if self.requires_signatures else ()), VERDICTS[3])
        return tuple(layer for verdict in wanted for layer in self.layers if layer.verdict == verdict)

    def count(self, verdict: Verdict) -> int:
        """Return the number of layers with a verdict."""
        return sum(layer.verdict == verdict for layer in self.layers)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict in VERDICTS if (count := self.count(verdict)))
        return f"<ImageVerificationResult {shorten_digest(self.digest)}: {counts or 'no layers'}>"
