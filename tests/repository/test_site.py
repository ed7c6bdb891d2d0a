"""The documentation site is built without a warning, and no link within it is dead."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

import pytest
from tests.integration.browser import find_violations, start_chromium
from tests.support.cli_parameters import leaf_commands
from tests.support.paths import REPOSITORY

import lamina
from lamina.cli.group import group

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.integration  # it takes 20 seconds of a processor


class Page(HTMLParser):
    """The ids of an HTML page, and the links and files that it names."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value is not None:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, made as ``script/docs`` does it."""
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
    return folder / "site"


def build_site(folder: Path) -> None:
    pages = [sys.executable, str(REPOSITORY / "script/site_pages.py"), str(folder / "pages")]
    sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html"]
    for command in (pages, [*sphinx, "-d", str(folder / "doctrees"), str(folder / "pages/docs"), str(folder / "site")]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")


def find_dead_links(site: Path) -> Iterator[str]:
    """Yield the links within ``site`` whose file or place does not exist."""
    pages = {file: Page(file) for file in site.rglob("*.html")}
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not target.is_file() or (
                target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].ids
            ):
                yield f"{file.relative_to(site)}: {link}"


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    for folder, status in ((tmp_path, 1), (tmp_path / "kept", 1), (Path("--help"), 2)):
        command = [str(REPOSITORY / "script/docs"), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert ("usage: " if status == 2 else f"{folder}: got other files") in done.stderr
    assert [*tmp_path.iterdir()] == [tmp_path / "kept"]


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    assert list(find_dead_links(site)) == []


def test_every_page_and_command_and_name_is_in_the_site(site: Path) -> None:
    pages = {file.relative_to(REPOSITORY / "docs").with_suffix(".html") for file in (REPOSITORY / "docs").rglob("*.md")}
    pages |= {
        Path("commands") / f"{'-'.join(('lamina', *words))}.html"
        for words, _ in leaf_commands(group)
        if words != ("help",)
    }
    assert {page for page in pages if not (site / page).is_file()} == set()
    reference = "".join(
        (site / f"python/{name}.html").read_text() for name in ("functions", "classes", "modules", "errors")
    )
    documented = {name for name in dir(lamina) if not name.startswith("_")} - {"layering", "nodes"}
    documented |= {"layering.plan", "nodes.Directory"}
    assert {name for name in documented if f'id="lamina.{name}"' not in reference} == set()


def test_texts_of_the_help_keep_their_dashes_and_quotes(site: Path) -> None:
    """The dashes of an option are not drawn as one long dash."""
    page = (site / "commands/lamina-build.html").read_text(encoding="utf-8")
    assert re.search(r"unless <code [^>]*><span class=\"pre\">--format</span></code> says otherwise", page)
    assert " 'DIR/{name}.tar.gz' each into a file" in page.replace("&#39;", "'").replace("&#x27;", "'")


def test_a_result_with_a_colon_in_its_text_is_no_type(site: Path) -> None:
    page = (site / "python/modules.html").read_text(encoding="utf-8")
    assert "The store layers, from the lowest up: those of the strategy" in page
    assert "~lamina." not in page  # a signature that Sphinx could not parse


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with start_chromium() as started:
        yield started


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
@pytest.mark.parametrize("name", ["index", "when-not", "commands/lamina-build"])
def test_a_page_of_the_site_is_accessible_and_as_wide_as_the_screen(
    browser: "Browser", site: Path, name: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto((site / f"{name}.html").as_uri())
        assert find_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_signature_is_no_list_of_definitions(site: Path) -> None:
    page = (site / "python/functions.html").read_text(encoding="utf-8")
    assert "<dl>" not in page
    assert page.count('<span class="sig-parameter">') > 100


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there"></a><a href="b.html#gone"></a><a href="c.html"></a>')
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    assert list(find_dead_links(tmp_path)) == ["a.html: b.html#gone", "a.html: c.html"]
