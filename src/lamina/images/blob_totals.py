"""Add up the blobs that two images share and do not share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.core.names import Digest
from lamina.system.transfer import BlobInfo


@dataclass(frozen=True, slots=True)
class BlobTotal:
    """Some of the blobs of layers.

    Attributes:
        count: how many there are.
        size: the sum of their sizes in bytes.
    """

    count: int
    size: int

    @classmethod
    def of(cls, sizes: Iterable[int]) -> BlobTotal:
        """Return the total of blobs with these sizes."""
        counted = list(sizes)
        return cls(len(counted), sum(counted))


@dataclass(frozen=True, slots=True)
class UpdateTotals:
    """The blobs that an update from one image to another moves.

    Attributes:
        kept: the blobs that both images have.
        sent: the blobs that only the new image has.
        gone: the blobs that only the old image has.
    """

    kept: BlobTotal
    sent: BlobTotal
    gone: BlobTotal


def add_up_update(old: Iterable[BlobInfo], new: Iterable[BlobInfo]) -> UpdateTotals:
    """Return what an update moves between images with these blobs. A blob that an image has twice counts once."""
    before, after = _map_sizes(old), _map_sizes(new)
    return UpdateTotals(
        BlobTotal.of(size for digest, size in after.items() if digest in before),
        BlobTotal.of(size for digest, size in after.items() if digest not in before),
        BlobTotal.of(size for digest, size in before.items() if digest not in after),
    )


def _map_sizes(blobs: Iterable[BlobInfo]) -> dict[Digest, int]:
    return {blob.digest: blob.size for blob in blobs}
