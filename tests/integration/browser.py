"""Pages in Debian's Chromium, controlled by playwright; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.integration import tools

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Root has no sandbox of Chromium; the other switches keep it from the network and from the graphics card.
_SWITCHES = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def start_chromium() -> Iterator[Browser]:
    """Start Chromium for the block."""
    program = tools.require("chromium")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=_SWITCHES, chromium_sandbox=False)
        except Error as error:
            tools.skip_unusable("chromium", str(error))
        with browser:
            yield browser


@contextmanager
def open_page(
    browser: Browser,
    place: Path | str,
    *,
    width: int = 1280,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
    has_scripts: bool = True,
) -> Iterator[Page]:
    """Open a file or a URL for the block. At its end, an error or another request raises `AssertionError`."""
    reports: list[str] = []
    url = place.as_uri() if isinstance(place, Path) else place
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=has_scripts
    )
    with context:
        page = context.new_page()
        page.on("console", lambda message: reports.append(message.text))
        page.on("pageerror", lambda error: reports.append(str(error)))
        page.on("request", lambda request: reports.append(request.url))
        page.goto(url)
        yield page
    assert reports == [url]


def find_violations(page: Page) -> list[str]:
    """Return what axe-core finds against the rules of accessibility, each with the elements concerned."""
    from axe_playwright_python.sync_playwright import Axe

    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{violation['id']}: {[node['html'][:120] for node in violation['nodes'][:3]]}"
        for violation in found["violations"]
    ]
