"""The result of pushing an image to registries."""

from __future__ import annotations

from dataclasses import dataclass, field

from lamina.core.names import Digest
from lamina.formats.referrers import Referrer
from lamina.images.blob_totals import UpdateTotals
from lamina.images.image import Image
from lamina.system.transfer import BlobInfo


@dataclass(frozen=True, slots=True, repr=False)
class RegistryPushResult(Image):
    """An image that was pushed, and what that took.

    Attributes:
        platform: such as ``linux/amd64``.
        blobs: digest and size in bytes of each layer as the registry has it; in the order of the layers.
        references: the names that it was pushed to, each as ``HOST/NAME:TAG@sha256:HEX``, the digest being that of the
            manifest. An image of an index has no tag of its own.
        manifest_digest: the digest of the manifest.
        manifest_size: its size in bytes.
        blobs_sent: the number of layers' blobs that were sent. A blob that several layers have counts once, here and
            below.
        blobs_mounted: the number of layers' blobs that the registry took from another of its repositories.
        bytes_sent: the size in bytes of the layers' blobs that were sent, once for each repository.
        seconds: how long it took to prepare and push the image.
        update: what an update from the image that the first name named before moves; None if there was none.
        attached: the documents that were attached, as the first repository lists them.
        warnings: messages about the arguments, the stores and the registries.

    """

    platform: str
    blobs: tuple[BlobInfo, ...]
    references: tuple[str, ...]
    manifest_digest: Digest
    manifest_size: int
    blobs_sent: int = field(compare=False)
    blobs_mounted: int = field(compare=False)
    bytes_sent: int = field(compare=False)
    seconds: float = field(default=0.0, compare=False)
    update: UpdateTotals | None = field(default=None, compare=False)
    attached: tuple[Referrer, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def repo_tags(self) -> tuple[str, ...]:
        """The names that it was pushed to, each as ``HOST/NAME:TAG``; none for an image of an index."""
        names = (reference.partition("@")[0] for reference in self.references)
        return tuple(name for name in names if ":" in name.rpartition("/")[2])

    @property
    def blobs_reused(self) -> int:
        """The number of layers' blobs that the repositories had already."""
        return len({*self.blobs}) - self.blobs_sent - self.blobs_mounted
