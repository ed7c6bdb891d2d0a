"""The draft that a stream script carries, read in this process."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example

import lamina
from lamina.cli.run_script import read_draft
from lamina.errors import FormatError
from lamina.images.writers.docker_archive import DockerArchive
from lamina.images.writers.stream_script import DRAFT
from lamina.system.fd_writer import FunctionOutput


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def test_the_draft_gives_the_bytes_of_the_stream(store: FakeStore, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"config": {"Env": ["A=é"]}, "uid": 5, "tree": [lamina.File("/f", __file__)]}
    with lamina.stream_layered_image(store=str(store.root), contents=["hello"], **arguments) as made:
        made.script(tmp_path / "script")
        expected = io.BytesIO()
        made.write_to(expected)
    written = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "script") as archive:
        DockerArchive(FunctionOutput(written.write)).write(read_draft(archive))
    assert written.getvalue() == expected.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("layers"),
        lambda document: document.update(layers=[["/nix/store/short"]]),
        lambda document: document.update(created="yesterday"),
        lambda document: document.update(owner=[1, 2, 3, 4, 5]),
        lambda document: document.update(base=[5]),
    ],
)
def test_a_script_that_was_changed_is_refused(store: FakeStore, tmp_path: Path, change: Any) -> None:
    with lamina.stream_layered_image(store=str(store.root), contents=["hello"]) as made:
        made.script(tmp_path / "script")
    with zipfile.ZipFile(tmp_path / "script") as archive:
        document = json.loads(archive.read(DRAFT))
    change(document)
    with zipfile.ZipFile(tmp_path / "changed", "w") as archive:
        archive.writestr(DRAFT, json.dumps(document))
    with zipfile.ZipFile(tmp_path / "changed") as archive, pytest.raises(lamina.Error, match=r"changed|store path"):
        read_draft(archive)


def test_another_zip_file_is_no_script(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("x", b"y")
    with zipfile.ZipFile(tmp_path / "other.zip") as archive, pytest.raises(FormatError, match="a stream script of lam"):
        read_draft(archive)
