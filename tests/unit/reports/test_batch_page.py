"""The page of a batch."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any

import pytest

from lamina.reports.batch_entries import BatchEntries, BatchImageEntry, BatchLayerEntry
from lamina.reports.batch_page import make_batch_page

MIB = 1 << 20
LAYERS = (
    BatchLayerEntry("glibc-2.40", 4 * MIB, "made"),
    BatchLayerEntry("openssl-3.0 +2", MIB, "reused"),
    BatchLayerEntry("web-1", 2 * MIB, "made"),
    BatchLayerEntry("broken-1", 0, "failed"),
)
IMAGES = (
    BatchImageEntry("broken", (0, 3), error="broken-1: got no path, expected one", own_size=10),
    BatchImageEntry("web", (2, 0, 1), "localhost:5000/web:1", "sha256:aaa", own_size=512),
    BatchImageEntry("api", (0, 1), "localhost:5000/api:1", "sha256:bbb", own_size=512),
)
BATCH = BatchEntries(IMAGES, LAYERS, mounted=2, seconds=12.25, workers="2 worker processes")


def draw(batch: BatchEntries = BATCH, title: str = "localhost:5000") -> str:
    return make_batch_page(title, batch).decode()


def read_data(page: str) -> Any:
    (text,) = re.findall('<script id="data" type="application/json">(.*?)</script>', page)
    return json.loads(text)


def list_rows(page: str, table: str) -> list[list[str]]:
    (body,) = re.findall(f'<table class="{table}">.*?<tbody.*?>(.*?)</tbody>', page)
    return [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", body)]


def test_the_header_has_the_totals() -> None:
    assert dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", draw())) == {
        "Images": "2 of 3",
        "Different layers": "4",
        "Made": "2",
        "Mounted": "2",
        "Sent": "6.0 MiB",
        "Time": "12.2 s",
        "Workers": "2 worker processes",
    }


def test_each_image_has_what_it_shares_and_what_was_sent_for_it() -> None:
    """A layer counts as sent for the first image that has it and has not failed."""
    assert list_rows(draw(), "images") == [
        ["broken", "", "", "", "10 B", "failed"],
        ["web", "3", "7.0 MiB", "5.0 MiB", "6.0 MiB", "sha256:aaa"],
        ["api", "2", "5.0 MiB", "5.0 MiB", "512 B", "sha256:bbb"],
    ]


def test_layers_are_listed_by_what_they_saved() -> None:
    """A layer that was made is sent once; one that was there already is not sent at all."""
    assert list_rows(draw(), "layers") == [
        ["glibc-2.40", "2", "4.0 MiB", "4.0 MiB", "sent once"],
        ["openssl-3.0 +2", "2", "1.0 MiB", "2.0 MiB", "there already"],
        ["web-1", "1", "2.0 MiB", "0 B", "sent once"],
    ]


def test_what_was_sent_and_saved_is_what_all_images_have() -> None:
    saved = sum(map(BATCH.count_saved, BATCH.users))
    failed = sum(image.own_size for image in IMAGES if image.error)
    assert BATCH.sent_size + saved == BATCH.whole_size + failed
    assert sum(BATCH.sum_first(number) for number in (1, 2)) == BATCH.sent_size - failed


def test_failed_images_are_listed_with_their_errors() -> None:
    assert list_rows(draw(), "failed") == [["broken", "broken-1: got no path, expected one"]]
    done = BatchEntries(IMAGES[1:], LAYERS, 2, 1.0, "")
    assert "Images that failed" not in draw(done)


def test_the_scripts_get_the_layers_of_each_image_as_bits() -> None:
    data = read_data(draw())
    assert [layer[0] for layer in data["layers"]] == ["glibc-2.40", "openssl-3.0 +2", "web-1"]
    assert [base64.b64decode(text) for text in data["bits"]] == [b"\0", b"\7", b"\3"]
    assert data["layers"][0] == ["glibc-2.40", 4 * MIB, 2, 1, True]


def test_no_name_becomes_markup() -> None:
    hostile = '</script><script>alert(1)</script>"'
    image = BatchImageEntry(hostile, (0,), hostile, hostile)
    failed = BatchImageEntry(hostile, (), error=hostile)
    page = draw(BatchEntries((image, failed), (BatchLayerEntry(hostile, 1, "made"),), 0, 1.0, hostile), hostile)
    assert hostile not in page
    assert page.count("<script>") == 1
    assert html.escape(hostile, quote=False) in page


def test_the_page_says_how_to_read_the_names_of_the_drawing_with_a_pointer_and_with_keys() -> None:
    (text,) = re.findall('<p id="matrix-keys".*?>(.*?)</p>', draw())
    assert text.startswith("Point at a place to read the names of its image and its layer. The arrow keys move ")


@pytest.mark.parametrize("images", [(), (BatchImageEntry("app", (), error="no store"),)])
def test_a_batch_without_layers_has_no_drawing(images: tuple[BatchImageEntry, ...]) -> None:
    page = draw(BatchEntries(images, (), 0, 0.1, ""))
    assert "matrix" not in re.sub("<script>.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)


def test_five_thousand_images_make_a_page_of_bounded_size() -> None:
    layers = [BatchLayerEntry(f"package-{number}-1.2.3 +4", 1000 + number, "made") for number in range(1500)]
    images = [
        BatchImageEntry(f"service-{number}", tuple(range(number % 7, 1500, 40)), digest=f"sha256:{number:012}")
        for number in range(4800)
    ]
    images += [BatchImageEntry(f"broken-{number}", (), error="no such package " * 10) for number in range(200)]
    page = draw(BatchEntries(images, layers, 0, 100.0, ""))
    assert len(list_rows(page, "images")) == 200
    assert len(list_rows(page, "layers")) == 50
    assert len(list_rows(page, "failed")) == 100
    assert "4,800 more" in page
    data = read_data(page)
    assert len(data["layers"]) <= 1000
    assert len(data["cells"]) == len(data["bits"]) == 5000
    assert len(page) < 1_800_000
