"""The page of ``lamina serve`` in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest
from tests.integration.browser import find_violations, open_page
from tests.support.fake_nix_store import example
from tests.support.serving import Serving, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SPEC = """\
[web]
contents = ["hello"]
architecture = "amd64"

[web-debug]
name = "team/web-with-a-long-name-for-debugging-and-more"
tag = "2026.01.31-release-candidate"
contents = ["hello", "data"]
architecture = "amd64"

[cold]
contents = ["data"]
architecture = "amd64"
"""
LONG = "team/web-with-a-long-name-for-debugging-and-more:2026.01.31-release-candidate"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with two images that are ready, and one that is not."""
    folder = tmp_path_factory.mktemp("serve")
    store, _ = example(folder / "root")
    store.add("data-1", {"share": {"data": b"x" * 100_000}})
    spec = folder / "lamina.toml"
    spec.write_text(SPEC)
    with serve(folder, "--store", store.root, "--spec", spec, "--allow", "*") as server:
        for name, _, tag in (("web", ":", "latest"), LONG.partition(":")):
            assert server.get(f"/v2/{name}/manifests/{tag}").status == 200
        yield server


@pytest.fixture
def page(browser: Browser, serving: Serving) -> Iterator[Page]:
    """The page, opened."""
    with open_page(browser, f"{serving.url}/") as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (320, "light"), (320, "dark")])
def test_the_page_is_accessible(
    browser: Browser, serving: Serving, width: int, scheme: Literal["light", "dark"]
) -> None:
    with open_page(browser, f"{serving.url}/", width=width, scheme=scheme) as page:
        page.get_by_role("button", name="web:latest").click()
        assert find_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_images_are_listed_with_what_is_ready(page: Page) -> None:
    assert page.locator(".images h3").all_text_contents() == ["cold:latest", LONG, "web:latest"]
    facts = page.locator(".images .facts").all_text_contents()
    assert facts[0] == "Not made yet"
    assert all("shared" in text for text in facts[1:])
    assert page.get_by_role("table").count() == 1


def test_a_button_copies_its_command(browser: Browser, serving: Serving, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    command = f"docker pull {serving.address}/web:latest"
    button = page.get_by_role("button", name="Copy the command that pulls web:latest")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('status').textContent !== ''")
    assert page.get_by_role("status").text_content() == f"Copied: {command}"
    assert page.evaluate("navigator.clipboard.readText()") == command


def test_a_command_is_selected_where_the_clipboard_is_closed(serving: Serving, page: Page) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy the command that pulls cold:latest").click()
    page.wait_for_function("document.getElementById('status').textContent !== ''")
    command = f"docker pull {serving.address}/cold:latest"
    assert page.get_by_role("status").text_content() == f"Selected: {command}"
    assert page.evaluate("getSelection().toString()") == command


def test_everything_but_the_buttons_is_there_without_scripts(browser: Browser, serving: Serving) -> None:
    with open_page(browser, f"{serving.url}/", has_scripts=False) as page:
        assert page.locator("code").filter(visible=True).count() == 6
        assert page.locator("button").filter(visible=True).count() == 0
