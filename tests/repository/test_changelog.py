"""The changelog: fragments of changes are moved into it without a loss, below the headings of their themes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from script.changelog import THEMES, add_fragments, find_fragments, read_fragments
from tests.support.paths import REPOSITORY

from lamina.version import __version__

CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
OLD = "# Changelog\n\n## 1.0\n\n### Fixes\n\n- An old fault.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two fragments: one with a theme and one without."""
    for name in ("script/changelog.py", "src/lamina/version.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    (tmp_path / "changelog.d/stores").mkdir(parents=True)
    (tmp_path / "changelog.d/README.md").write_text("# Changelog fragments\n")
    (tmp_path / "changelog.d/stores/odd.md").write_text("A store of an odd kind is\nread.\n\nIt is slow.\n")
    (tmp_path / "changelog.d/any.md").write_text("Something else is new.\n")
    return tmp_path


def run_script(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "script/changelog.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def find_sections(changelog: str) -> list[tuple[str, list[str]]]:
    """Return the title of each version with its headings."""
    titles = re.findall(r"^(##|###) (.+)$", changelog, re.MULTILINE)
    sections: list[tuple[str, list[str]]] = []
    for mark, title in titles:
        if mark == "##":
            sections.append((title, []))
        else:
            sections[-1][1].append(title)
    return sections


def test_fragments_move_to_the_end_of_the_list_of_their_theme(checkout: Path) -> None:
    ran = run_script(checkout)
    assert (ran.returncode, ran.stdout) == (0, "")
    changelog = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    stores = changelog.partition("### Stores\n")[2].partition("\n###")[0]
    assert stores.endswith("\n- A store of an odd kind is read.\n\n  It is slow.\n")
    assert "### Other changes\n\n- Something else is new.\n" in changelog
    assert find_fragments(checkout / "changelog.d") == []
    assert {*CHANGELOG.splitlines()} - {*changelog.splitlines()} == set()
    assert run_script(checkout).returncode == 0
    assert (checkout / "CHANGELOG.md").read_text(encoding="utf-8") == changelog


def test_printing_changes_nothing(checkout: Path) -> None:
    ran = run_script(checkout, "--print")
    assert "- Something else is new.\n" in ran.stdout
    assert (checkout / "CHANGELOG.md").read_text(encoding="utf-8") == CHANGELOG
    assert len(find_fragments(checkout / "changelog.d")) == 2


def test_a_fragment_of_an_unknown_theme_is_refused(checkout: Path) -> None:
    (checkout / "changelog.d/stores").rename(checkout / "changelog.d/shops")
    ran = run_script(checkout)
    assert ran.returncode == 1
    assert "got a fragment in shops, expected one of images, " in ran.stderr


def test_a_version_without_a_section_gets_one_before_the_others() -> None:
    added = "## 1.1 (not released)\n\n### Images\n\n- New.\n\n"
    assert add_fragments(OLD, "1.1", {"Images": ["New."]}) == OLD.replace("## 1.0", added + "## 1.0")


def test_a_released_version_gets_no_fragments() -> None:
    with pytest.raises(SystemExit, match=r"got the released version 1\.0, expected the next one"):
        add_fragments(OLD, "1.0", {"Fixes": ["New."]})


def test_the_first_section_is_for_this_version_and_its_themes_are_in_order() -> None:
    (title, headings), *_ = find_sections(CHANGELOG)
    assert title.split()[0] == __version__
    assert headings == [heading for heading in THEMES.values() if heading in headings]


def test_every_fragment_has_a_known_theme_and_words() -> None:
    texts = read_fragments(find_fragments(REPOSITORY / "changelog.d"))
    assert all(text for theme in texts.values() for text in theme)
