"""The page of a batch in Chromium."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.integration.browser import find_violations, open_page

from lamina.reports.batch_entries import BatchEntries, BatchImageEntry, BatchLayerEntry
from lamina.reports.batch_page import make_batch_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def make_batch(images: int, layers: int) -> BatchEntries:
    chance = random.Random(1)
    found = [BatchLayerEntry(f"package-{number}-1.0 +2", 1000 + number, "made") for number in range(layers)]
    drawn = [
        BatchImageEntry(
            f"team/service-with-a-long-name-{number:04}",
            tuple(sorted({0, *(int(layers * chance.random() ** 3) for _ in range(20))})),
            digest=f"sha256:{number:012}",
        )
        for number in range(images - 1)
    ]
    failed = BatchImageEntry("broken", (), error="/nix/store/broken: got no such path, expected it in https://cache")
    return BatchEntries([*drawn, failed], found, 17, 61.5, "4 Dask workers at tcp://127.0.0.1:8786")


@pytest.fixture(scope="module", params=[200, 5000])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("batch") / "page.html"
    file.write_bytes(make_batch_page("registry.example/fleet", make_batch(request.param, request.param // 4)))
    return file


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    with open_page(browser, file) as opened:
        yield opened


def read_pixels(page: Page) -> list[int]:
    """Return how many pixels of the drawing are not empty, and how many different colours it has."""
    found: list[int] = page.evaluate(
        """() => {
            const canvas = document.getElementById("matrix");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            let drawn = 0;
            for (let at = 0; at < data.length; at += 4) {
                if (data[at + 3]) drawn += 1;
                colours.add(`${data[at]} ${data[at + 1]} ${data[at + 2]}`);
            }
            return [drawn, colours.size];
        }"""
    )
    return found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (320, "light"), (320, "dark")])
def test_the_page_is_accessible(browser: Browser, file: Path, width: int, scheme: Literal["light", "dark"]) -> None:
    with open_page(browser, file, width=width, scheme=scheme) as page:
        page.locator("#matrix").focus()
        page.keyboard.press("ArrowDown")
        assert find_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_drawing_has_a_colour_for_what_was_sent_and_one_for_what_is_shared(page: Page) -> None:
    drawn, colours = read_pixels(page)
    assert drawn > 1000
    assert colours >= 3


def test_the_keyboard_moves_through_images_and_layers(page: Page) -> None:
    page.locator("#matrix").focus()
    sentence = page.locator("#matrix-cell")
    page.keyboard.press("ArrowRight")
    first = sentence.text_content() or ""
    assert " has package-0-1.0 +2: 1000 B, in " in first
    page.keyboard.press("ArrowDown")
    second = sentence.text_content() or ""
    assert second.split()[0] != first.split()[0]
    page.keyboard.press("End")
    page.keyboard.press("PageDown")
    assert "package-0-1.0" not in (sentence.text_content() or "")


def test_the_pointer_names_the_cell_below_it(page: Page) -> None:
    page.locator("#matrix").hover(position={"x": 1, "y": 1})
    assert " has package-0-1.0 +2" in (page.locator("#matrix-cell").text_content() or "")


def test_images_are_found_by_name_and_shown_in_portions(page: Page) -> None:
    rows = page.locator("#image-rows tr")
    images = page.evaluate("JSON.parse(document.getElementById('data').textContent).cells.length")
    assert rows.count() == 200
    more = page.get_by_role("button", name="Show more")
    assert more.is_visible() == (images > 200)
    if images > 200:
        more.click()
        assert rows.count() == 400
    page.get_by_label("Find an image").fill("service-with-a-long-name-0042")
    assert page.locator("#image-rows th").all_text_contents() == ["team/service-with-a-long-name-0042"]
    assert page.get_by_text(f"1 of {images:,} images").is_visible()
    page.get_by_label("Find an image").fill("failed")
    assert page.locator("#image-rows th").all_text_contents() == ["broken"]


def test_the_tables_are_there_without_scripts(browser: Browser, file: Path) -> None:
    with open_page(browser, file, has_scripts=False) as page:
        assert page.locator("#image-rows tr").count() == 200
        assert page.get_by_role("table").count() == 3
        assert page.locator("button, input, canvas").filter(visible=True).count() == 0


def test_the_page_of_thousands_of_images_opens_quickly(browser: Browser, file: Path) -> None:
    with open_page(browser, file) as page:
        timing: dict[str, Any] = page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
        assert timing["loadEventEnd"] < 5000
        assert page.evaluate("document.getElementsByTagName('*').length") < 4000
