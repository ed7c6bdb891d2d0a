"""The documents and layers of an image file: each is checked, and read once."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import config, dump_layer, layer, sha256, tar

from lamina.core.nodes import Extent
from lamina.errors import FormatError, IntegrityError
from lamina.images.readers import blobs as reading
from lamina.images.readers import documents
from lamina.images.readers.blobs import Blobs
from lamina.images.readers.members import ArchiveMembers
from lamina.images.readers.unpack import Unpacker

BASE = "0" * 32 + "-hello"
LAYER = layer(f"nix/store/{BASE}/bin", "./nix/store/short", f"/nix/store/{BASE}")


def open_blobs(folder: Path, content: Mapping[str, bytes]) -> Blobs:
    file = folder / "archive"
    file.write_bytes(tar(content))
    return Blobs(
        ArchiveMembers(Extent.whole(os.fsencode(file), file.stat().st_size, file.stat().st_mtime_ns)), Unpacker()
    )


def test_an_image_is_read_with_its_layers_and_their_store_paths(tmp_path: Path) -> None:
    found = open_blobs(tmp_path, {"config.json": config([LAYER]), "l": LAYER}).read_image("config.json", ["l"])
    assert found.id == sha256(config([LAYER]))
    (only,) = found.layers
    assert (only.name, str(only.diff_id), only.size) == ("l", sha256(LAYER), len(LAYER))
    assert [path.base for path in only.paths] == [BASE]


def test_the_files_of_each_store_path_are_measured(tmp_path: Path) -> None:
    other = "1" * 32 + "-words"
    made = dump_layer([(f"nix/store/{BASE}/a", b"123"), (f"nix/store/{other}/b", b"12"), (f"nix/store/{BASE}/c", b"1")])
    found = open_blobs(tmp_path, {"config.json": config([made]), "l": made}).read_image("config.json", ["l"])
    (only,) = found.layers
    assert [path.base for path in only.paths] == [BASE, other]
    assert only.path_sizes == (4, 2)


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path, {"a": b"{}"})
    assert blobs.has("a")
    assert not blobs.has("b")
    with pytest.raises(FormatError, match="got no b, expected an image file"):
        blobs.read_document("b")


@pytest.mark.parametrize(
    ("name", "text", "layers", "message"),
    [
        ("0" * 64 + ".json", config([LAYER]), ["l"], "config: got sha256:"),
        ("c", config([]), ["l"], "rootfs: got 0 diff IDs, expected 1"),
        ("c", config([b"other"]), ["l"], "l: layer 1: got sha256:"),
        ("c", config([LAYER]), ["blobs/sha256/" + "0" * 64], "expected the digest in its name"),
    ],
)
def test_a_contradiction_is_an_integrity_error(
    tmp_path: Path, name: str, text: bytes, layers: list[str], message: str
) -> None:
    with pytest.raises(IntegrityError, match=message):
        open_blobs(tmp_path, {name: text, **dict.fromkeys(layers, LAYER)}).read_image(name, layers)


@pytest.mark.parametrize("rootfs", [None, [], {"diff_ids": ["sha256:0"]}, {"diff_ids": 5}, {"diff_ids": [5]}, {}])
def test_a_rootfs_of_another_shape_is_refused(tmp_path: Path, rootfs: Any) -> None:
    with pytest.raises(FormatError):
        open_blobs(tmp_path, {"c": json.dumps({"rootfs": rootfs}).encode()}).read_image("c", [])


def test_the_limits_hold_for_all_documents_and_layers_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MAX_DOCUMENT_BYTES", 5)
    blobs = open_blobs(tmp_path, {"a": b"[1]"})
    assert blobs.read_document("a").value == [1]
    with pytest.raises(FormatError, match="got 3 bytes, expected a document of at most"):
        blobs.read_document("a")
    monkeypatch.undo()
    monkeypatch.setattr(documents, "_MAX_VALUES", 3)
    with pytest.raises(FormatError, match="got 4 values, expected at most 3"):
        open_blobs(tmp_path, {"a": b"[1,2,3,4]"}).read_document("a")


def test_names_that_lead_out_of_a_layer_and_too_many_members_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaping = layer("a/../../b")
    with pytest.raises(FormatError, match=r"l: got a member .*expected names without '\.\.'"):
        open_blobs(tmp_path, {"c": config([escaping]), "l": escaping}).read_image("c", ["l"])
    monkeypatch.setattr(reading, "_MAX_MEMBERS", 2)
    with pytest.raises(FormatError, match="more than 2 members in all layers"):
        open_blobs(tmp_path, {"c": config([LAYER]), "l": LAYER}).read_image("c", ["l"])
