"""The sdist contains the sources and a manual page for each command, which is made together with the sdist."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.integration.tools import environment, require
from tests.support.cli_parameters import leaf_commands
from tests.support.paths import REPOSITORY
from tests.support.tar_files import unpack

from lamina.cli.group import group


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which an sdist of the checkout is unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (file,) = folder.iterdir()  # the pages are beside it only while it is made
    with tarfile.open(file) as archive:
        unpack(archive, folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


def test_an_sdist_has_a_page_for_each_command(sdist: Path) -> None:
    names = {f"lamina-{'-'.join(words)}.1" for words, _ in leaf_commands(group)}
    groups = {"lamina.1", "lamina-store.1", "lamina-store-key.1", "lamina-cache.1", "lamina-layout.1"}
    assert {page.name for page in (sdist / "man").iterdir()} == names | groups


def test_a_page_has_the_sections_of_the_help(sdist: Path) -> None:
    page = (sdist / "man/lamina-build.1").read_text(encoding="utf-8")
    lines = page.splitlines()
    assert lines[0].startswith(".TH LAMINA-BUILD 1 ")
    headings = [line for line in lines if line.startswith(".SH ")]
    titles = ("NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "ARGUMENTS", "OPTIONS", "SEE ALSO")
    assert headings == [f".SH {title}" for title in titles]
    assert ".SS Container config" in lines
    assert ".B \\-\\-max\\-layers N" in lines


def test_the_first_page_lists_the_verbs_and_the_exit_codes(sdist: Path) -> None:
    lines = (sdist / "man/lamina.1").read_text(encoding="utf-8").splitlines()
    assert ".BR lamina\\-stream (1)" in lines
    assert lines[lines.index(".B 6") + 1].startswith("A hash, size or signature")


def test_an_sdist_holds_what_builds_it_and_nothing_else(sdist: Path) -> None:
    files = {str(file.relative_to(sdist)) for file in sdist.rglob("*") if file.is_file()}
    others = {file for file in files if not file.startswith(("src/lamina/", "man/lamina"))}
    scripts = {"script/man_pages.py", "script/sdist_hook.py", "script/metadata_hook.py"}
    # hatchling adds the last two to every sdist.
    assert others == {"pyproject.toml", "README.md", "LICENSE", *scripts, "PKG-INFO", ".gitignore"}
    assert not any(file.endswith(".pyc") for file in files)


@pytest.mark.integration
@pytest.mark.parametrize(
    "command",
    [("man", "--warnings", "-E", "UTF-8", "-l"), ("mandoc", "-T", "lint", "-W", "warning")],
    ids=lambda c: c[0],
)
def test_pages_are_shown_without_warnings(sdist: Path, command: tuple[str, ...]) -> None:
    require(command[0])
    for page in sorted((sdist / "man").iterdir()):
        ran = subprocess.run(
            [*command, page], env=environment(MANWIDTH="80"), capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, ""), page.name
        assert command[0] == "man" or ran.stdout == "", page.name
