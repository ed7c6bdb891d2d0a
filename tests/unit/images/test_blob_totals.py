"""Totals of the blobs of two images."""

from lamina.core.names import Digest
from lamina.images.blob_totals import BlobTotal, UpdateTotals, add_up_update
from lamina.system.transfer import BlobInfo


def make_blob(number: int) -> BlobInfo:
    return BlobInfo(Digest(bytes([number] * 32)), number)


def test_blobs_are_kept_sent_or_gone_and_count_once() -> None:
    old = [make_blob(number) for number in (1, 2, 2, 3)]
    new = [make_blob(number) for number in (2, 3, 3, 4, 5, 5)]
    assert add_up_update(old, new) == UpdateTotals(BlobTotal(2, 5), BlobTotal(2, 9), BlobTotal(1, 1))


def test_an_image_without_layers_moves_nothing() -> None:
    assert add_up_update([], []) == UpdateTotals(BlobTotal(0, 0), BlobTotal(0, 0), BlobTotal(0, 0))
