"""The files that are published: an sdist and a wheel with correct metadata, and a wheel that the sdist gives too."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from tests.support.paths import REPOSITORY
from tests.support.tar_files import unpack


def build(folder: Path, checkout: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *arguments]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and a wheel of the checkout."""
    folder = tmp_path_factory.mktemp("files")
    build(folder, REPOSITORY)
    return folder


@pytest.fixture(scope="module")
def metadata(files: Path) -> Message:
    """The metadata of the wheel."""
    (wheel,) = files.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def find_tokens(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from find_tokens(token.children or [])


def test_twine_accepts_both_files(files: Path) -> None:
    packages = sorted(files.iterdir())
    assert [package.name.partition("-")[0] for package in packages] == ["lamina", "lamina"]
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, packages)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.count("PASSED")) == (0, 2), ran.stdout + ran.stderr


def test_the_sdist_gives_the_wheel_of_the_checkout(files: Path, tmp_path: Path) -> None:
    (sdist,), (wheel,) = files.glob("*.tar.gz"), files.glob("*.whl")
    with tarfile.open(sdist) as archive:
        unpack(archive, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    build(tmp_path / "built", unpacked, "-t", "wheel")
    assert (tmp_path / "built" / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_long_description_is_the_readme_without_links_that_an_index_cannot_follow(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    payload = metadata.get_payload(decode=True)
    assert isinstance(payload, bytes)
    text = payload.decode()
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in readme.splitlines() if line.startswith("#")
    ]
    tokens = list(find_tokens(MarkdownIt("commonmark").enable("table").parse(text)))
    links = [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]
    assert "https://nixos.org" in links
    assert [link for link in links if not link.startswith("https://")] == []
    assert [token for token in tokens if token.type == "image"] == []


def test_the_metadata_names_the_oldest_python_and_the_systems(metadata: Message) -> None:
    classifiers = metadata.get_all("Classifier") or []
    (oldest,) = metadata.get_all("Requires-Python") or []
    versions = [
        name.rpartition(" ")[2] for name in classifiers if name.startswith("Programming Language :: Python :: 3.")
    ]
    assert f">={versions[0]}" == oldest
    systems = [name for name in classifiers if name.startswith("Operating System")]
    assert systems == ["Operating System :: MacOS", "Operating System :: POSIX :: Linux"]
