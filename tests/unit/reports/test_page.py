"""The frame of a page: its policy, its encoding and its colours."""

import base64
import hashlib
import re

import pytest
from tests.support.paths import PACKAGE

from lamina.reports.markup import element
from lamina.reports.page import make_page

ASSETS = PACKAGE / "reports" / "assets"
SCHEMES = re.findall(r":root \{\n(?: {4})?(.*?)\}", (ASSETS / "page.css").read_text(), re.DOTALL)[:2]
PAGE = make_page("A & B", [element("p", "text")], styles=["page.css"], scripts=["sizes.js"]).decode()


def test_the_policy_allows_the_styles_and_the_scripts_of_the_page_alone() -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', PAGE)
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for tag in ("style", "script")
        for text in re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    ]
    assert policy.replace("&#x27;", "'") == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_is_loaded_from_anywhere() -> None:
    texts = [PAGE, *(file.read_text() for file in ASSETS.iterdir())]
    assert not [text for text in texts if re.search(r"https?:|url\(|@import|\bsrc=|fetch\(|<link|<iframe", text)]


def test_no_file_ends_the_element_that_holds_it() -> None:
    assert not [file.name for file in ASSETS.iterdir() if re.search("</|<!--|<script", file.read_text())]


def test_a_text_that_is_not_unicode_is_written_as_an_escape() -> None:
    page = make_page("x", [element("p", "caf\udce9 ☕")], styles=[], scripts=[])
    assert "<p>caf\\udce9 ☕</p>" in page.decode()


def read_colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", scheme))


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2, "relative luminance")."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "background", "least"),
    [
        *((text, background, 4.5) for text in ("text", "muted", "accent") for background in ("surface", "page")),
        *(("text", background, 4.5) for background in ("cell", "soft")),
        ("on-accent", "accent", 4.5),
        ("dot", "surface", 3),
        ("accent", "cell", 3),
    ],
)
def test_colours_contrast_as_wcag_asks(scheme: str, text: str, background: str, least: float) -> None:
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for graphics (1.4.11)."""
    colours = {**read_colours(SCHEMES[0]), **read_colours(scheme)}
    assert contrast(colours[text], colours[background]) >= least
