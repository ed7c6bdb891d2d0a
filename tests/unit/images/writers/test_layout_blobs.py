"""The blobs and the index of a layout: foreign entries stay, and a folder that is no layout is left alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example

import lamina
from lamina.core.names import Digest, ImageReference
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.oci import FULL_NAME, INDEX_TYPE, REF_NAME, Descriptor
from lamina.formats.oci_index import PlatformManifest, dump_index
from lamina.formats.platform import Platform
from lamina.images.image import Draft, Image
from lamina.images.writers.layout_blobs import open_layout
from lamina.images.writers.oci_layout import OciLayout


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def draft(store: FakeStore, **arguments: Any) -> Draft:
    words = {"name": "x", "tag": "1", "contents": ["hello"], "architecture": "amd64"} | arguments
    return lamina.stream_layered_image(store=str(store.root), **words).draft


def write_layout(made: Draft, folder: Path) -> Image:
    return OciLayout(folder).write(made)


def entries(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["manifests"]
    return found


@pytest.mark.parametrize(
    "annotations",
    [
        {"io.containerd.image.name": "x:1"},
        {"io.containerd.image.name": "docker.io/x:1"},
        {"io.containerd.image.name": "index.docker.io/library/x:1", "org.opencontainers.image.ref.name": "else"},
        {"org.opencontainers.image.ref.name": "x:1"},
        {"org.opencontainers.image.ref.name": "docker.io/library/x:1"},
        {"org.opencontainers.image.ref.name": "1"},
    ],
)
def test_every_spelling_of_a_name_is_replaced(store: FakeStore, tmp_path: Path, annotations: dict[str, str]) -> None:
    folder = tmp_path / "layout"
    write_layout(draft(store, name="other", tag="2"), folder)
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0]["annotations"] = annotations
    (folder / "index.json").write_text(json.dumps(index))
    write_layout(draft(store), folder)
    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/x:1"


def test_an_index_of_null_is_empty(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_layout(draft(store), folder)
    (folder / "index.json").write_text('{"schemaVersion": 2, "manifests": null}')
    write_layout(draft(store), folder)
    assert len(json.loads((folder / "index.json").read_text())["manifests"]) == 1


def test_entries_of_other_programs_are_kept(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_layout(draft(store), folder)
    index = json.loads((folder / "index.json").read_text())
    theirs = {"mediaType": "application/x", "digest": "sha256:" + "0" * 64, "size": 3, "annotations": None}
    index |= {"manifests": [theirs, *index["manifests"]], "annotations": {"kept": "yes"}}
    (folder / "index.json").write_text(json.dumps(index))
    write_layout(draft(store), folder)
    after = json.loads((folder / "index.json").read_text())
    assert after["annotations"] == {"kept": "yes"}
    assert after["manifests"][0] == theirs
    assert len(after["manifests"]) == 2


def test_a_layout_that_another_process_creates_at_the_same_time_is_one(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers of a batch open a new layout at the same time."""
    folder = tmp_path / "layout"
    folder.mkdir()
    made, list_folder = draft(store), os.listdir

    def list_after_the_other(path: Any) -> list[str]:
        if path == folder:
            monkeypatch.undo()
            write_layout(made, folder)
        return list_folder(path)

    monkeypatch.setattr(os, "listdir", list_after_the_other)
    write_layout(draft(store, name="y"), folder)
    assert len(entries(folder)) == 2


def test_a_folder_that_is_something_else_is_left_alone(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(InvalidArgument, match="got a folder with other files, expected an OCI layout or an empty"):
        write_layout(draft(store), folder)
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [("letter.txt", b"dear")]
    with pytest.raises(InvalidArgument, match="got a file, expected a folder"):
        write_layout(draft(store), folder / "letter.txt")


@pytest.mark.parametrize("index", [b"", b"{}", b"[]", b'{"manifests": 3}', b"\xff"])
def test_an_invalid_index_is_an_error_and_is_kept(store: FakeStore, tmp_path: Path, index: bytes) -> None:
    folder = tmp_path / "layout"
    write_layout(draft(store), folder)
    (folder / "index.json").write_bytes(index)
    with pytest.raises(FormatError, match=r"layout: index\.json: got .*, expected"):
        write_layout(draft(store), folder)
    assert (folder / "index.json").read_bytes() == index


@pytest.mark.parametrize("mark", ["garbage", "[]", "{}", None])
def test_an_invalid_oci_layout_file_is_an_error(store: FakeStore, tmp_path: Path, mark: str | None) -> None:
    folder = tmp_path / "layout"
    folder.mkdir()
    if mark is None:
        (folder / "oci-layout").mkdir()
    else:
        (folder / "oci-layout").write_text(mark)
    with pytest.raises(FormatError, match=r"oci-layout: got .*, expected"):
        write_layout(draft(store), folder)


def test_an_index_that_is_a_folder_is_an_error(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "layout" / "index.json").mkdir(parents=True)
    (tmp_path / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    with pytest.raises(FormatError, match=r"index\.json: got no file, expected"):
        write_layout(draft(store), tmp_path / "layout")


def test_an_index_that_is_too_long_is_refused_as_such(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    with (tmp_path / "layout" / "index.json").open("wb") as index:
        index.truncate((20 << 20) + 1)
    with pytest.raises(FormatError, match=r"index\.json: got more than 20\.0 MiB, expected"):
        write_layout(draft(store), tmp_path / "layout")


def test_an_image_index_replaces_the_images_of_its_name_and_is_replaced_by_them(
    store: FakeStore, tmp_path: Path
) -> None:
    folder = tmp_path / "layout"
    write_layout(draft(store), folder)
    (image,) = entries(folder)
    descriptor = Descriptor(image["mediaType"], Digest.parse_oci(image["digest"]), image["size"])
    document = dump_index([PlatformManifest(descriptor, Platform.parse("amd64"))], (("org.example.team", "docs"),))
    with open_layout(folder, verify=False) as blobs:
        blobs.tag_index(ImageReference("x", "1"), document, (("org.example.team", "docs"),))
    (index,) = entries(folder)
    assert index == {
        "mediaType": INDEX_TYPE,
        "digest": f"sha256:{hashlib.sha256(document).hexdigest()}",
        "size": len(document),
        "annotations": {"org.example.team": "docs", FULL_NAME: "docker.io/library/x:1", REF_NAME: "1"},
    }
    assert (folder / "blobs/sha256" / index["digest"].removeprefix("sha256:")).read_bytes() == document
    assert [found.repo_tags for found in lamina.inspect(folder)] == [("x:1",)]
    write_layout(draft(store), folder)
    assert entries(folder) == [image]
