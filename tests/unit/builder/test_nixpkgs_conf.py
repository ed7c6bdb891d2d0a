"""Images from nixpkgs' conf.json have the config of nixpkgs' streamer, to the byte, and so its image ID."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support import nixpkgs_confs, nixpkgs_streamer
from tests.support.factories import path
from tests.support.fake_nix_store import call, run
from tests.support.paths import GOLDEN

import lamina
from lamina.errors import FormatError
from lamina.formats.conf import Conf

RECORDED: dict[str, str] = json.loads((GOLDEN / "conf-ids.json").read_text())["ids"]
CASES = [
    pytest.param(name, marks=pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8"))
    if name == "non-ASCII names"
    else name
    for name in nixpkgs_confs.CASES
]


def image_json(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest
        (entry,) = json.load(manifest)
        config = tar.extractfile(entry["Config"])
        assert config
        return config.read()


def stream_case(folder: Path, **changes: Any) -> tuple[lamina.Image, bytes]:
    """Stream the image of the conf in ``folder`` with lamina."""
    out = io.BytesIO()
    image = lamina.stream_conf(folder / "conf.json", store=folder, **changes).write_to(out)
    return image, out.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_the_image_is_the_one_that_was_recorded(name: str, tmp_path: Path) -> None:
    nixpkgs_confs.write_case(name, tmp_path)
    assert stream_case(tmp_path)[0].id == RECORDED[name]


@pytest.mark.parametrize("name", CASES)
def test_the_image_json_is_the_streamers_to_the_byte(name: str, tmp_path: Path) -> None:
    file = nixpkgs_confs.write_case(name, tmp_path)
    theirs = io.BytesIO()
    identity = nixpkgs_streamer.stream(json.loads(file.read_text()), theirs, tmp_path)
    image, ours = stream_case(tmp_path)
    assert image_json(ours) == image_json(theirs.getvalue())
    assert image.id == identity == RECORDED[name]


def test_the_command_line_gives_the_same_and_another_name_where_asked(tmp_path: Path) -> None:
    file = nixpkgs_confs.write_case("base image", tmp_path)
    ran = call("stream", "--conf", file, "--store", tmp_path)
    assert ran.code == 0, ran.stderr
    assert ran.stdout == stream_case(tmp_path)[1]
    warning, *lines = ran.stderr.splitlines()
    assert warning == (
        "lamina: warning: base image: got layers for linux/amd64, expected layers for linux/arm64, that of the image"
    )
    assert lines[:2] == [
        f"Adding base layer {number} from {name}"
        for number, name in enumerate(json.loads(manifest(tmp_path / "base.tar"))[0]["Layers"][:2], 1)
    ]
    assert lines[3:] == [
        f"Creating layer 4 from paths: ['{path('other')}']",
        "Creating layer 5 with customisation...",
        "Adding manifests...",
        "Done.",
    ]
    named = call("stream", "--conf", file, "--store", tmp_path, "-t", "other:2")
    assert named.code == 0
    assert b'"other:2"' in named.stdout
    assert image_json(named.stdout) == image_json(ran.stdout)


def manifest(archive: Path) -> bytes:
    with tarfile.open(archive) as tar:
        found = tar.extractfile("manifest.json")
        assert found
        return found.read()


def test_now_is_one_instant_for_both_dates(tmp_path: Path) -> None:
    file = nixpkgs_confs.write_case("uid 1000", tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "created": "now", "mtime": "now"}))
    _, archive = stream_case(tmp_path)
    created = json.loads(image_json(archive))["created"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", created)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        dates = {member.mtime for member in tar}
    assert len(dates) == 1
    assert dates.pop() > 1_700_000_000


def test_no_database_is_asked(tmp_path: Path) -> None:
    nixpkgs_confs.write_case("long names", tmp_path)
    assert not (tmp_path / "nix/var").exists()
    stream_case(tmp_path)


# Bad input


def damaged_conf(folder: Path, **changes: Any) -> Path:
    file = nixpkgs_confs.write_case("uid 1000", folder)
    document = {key: value for key, value in {**json.loads(file.read_text()), **changes}.items() if value != "gone"}
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize(
    "changes",
    [
        {"store_layers": "x"},
        {"store_layers": [["/etc/passwd"]]},
        {"store_layers": [[5]]},
        {"store_layers": "gone"},
        {"store_dir": "/gnu/store"},
        {"uid": "-1"},
        {"uid": "root"},
        {"uid": 1.5},
        {"gid": True},
        {"created": "yesterday"},
        {"mtime": None},
        {"repo_tag": "no-tag"},
        {"config": []},
        {"customisation_layer": None},
        {"from_image": 5},
        {"architecture": 5},
        {"uname": "\0"},
    ],
)
def test_a_field_of_the_wrong_kind_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    ran = run("stream", "--conf", damaged_conf(tmp_path, **changes), "--store", tmp_path)
    assert (ran.code, ran.stdout) == (3, b"")
    (name,) = changes
    assert re.search(rf"conf: got (no )?{name}", ran.stderr)
    assert ", expected " in ran.stderr


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b"\xff", b'{"a": ' * 5000, b"null"])
def test_a_file_that_is_not_a_conf_is_a_format_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "conf.json").write_bytes(text)
    ran = run("stream", "--conf", tmp_path / "conf.json")
    assert (ran.code, ran.stdout) == (3, b"")


@given(st.binary(max_size=200))
@example(b'{"architecture": {}}')
def test_garbage_raises_format_error_and_nothing_else(text: bytes) -> None:
    with pytest.raises(FormatError):
        Conf.parse(text)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"store_layers": [[str(path("gone"))]]}, 5),
        ({"customisation_layer": "/no/such"}, 5),
        ({"from_image": "/no/such.tar"}, 11),
    ],
)
def test_a_missing_file_that_the_conf_names_is_an_error(changes: dict[str, object], code: int, tmp_path: Path) -> None:
    ran = run("stream", "--conf", damaged_conf(tmp_path, **changes), "--store", tmp_path)
    assert ran.code == code, ran.stderr


def test_a_missing_conf_is_an_input_error(tmp_path: Path) -> None:
    assert run("stream", "--conf", tmp_path / "missing").code == 11


def test_a_customisation_layer_that_is_not_the_promised_one_is_an_integrity_error(tmp_path: Path) -> None:
    file = nixpkgs_confs.write_case("uid 1000", tmp_path)
    layer = tmp_path / str(path("customisation-layer")).lstrip("/")
    with (layer / "layer.tar").open("r+b") as tar:
        tar.write(b"x")
    ran = run("stream", "--conf", file, "--store", tmp_path)
    assert ran.code == 6
    assert "layer 3: got sha256:" in ran.stderr
    (layer / "checksum").write_text("not hex\n")
    assert run("stream", "--conf", file, "--store", tmp_path).code == 3
    shutil.rmtree(layer)
    assert run("stream", "--conf", file, "--store", tmp_path).code == 5


@pytest.mark.parametrize("flags", [["hello"], ["--cmd", "x"], ["--max-layers", "5"], ["--with", "tmp"], ["--uid", "5"]])
def test_a_conf_takes_no_other_options(tmp_path: Path, flags: list[str]) -> None:
    ran = run("stream", "--conf", nixpkgs_confs.write_case("uid 1000", tmp_path), "--store", tmp_path, *flags)
    assert ran.code == 2
    assert "expected --conf alone" in ran.stderr


def test_another_name_must_be_valid(tmp_path: Path) -> None:
    file = nixpkgs_confs.write_case("uid 1000", tmp_path)
    for name in ("", "x", "x:", ":1", "X y:1"):
        assert run("stream", "--conf", file, "--store", tmp_path, "-t", name).code == 2
