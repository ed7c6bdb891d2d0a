"""The manifests, indexes and configs of images follow the specifications, with annotations and both media types."""

from __future__ import annotations

import copy
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.fake_nix_store import FakeStore, example, run
from tests.support.oci_schemas import check_oci_document
from tests.support.registry import QUICK, MemoryRegistry, digest_of, serve_registry
from tests.support.tar_files import unpack

import lamina
from lamina.errors import InvalidArgument
from lamina.transports.retry import use_policy

PREFIX = "org.opencontainers.image."
SOURCE = f"{PREFIX}source"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker."
GIVEN = {SOURCE: "https://example.org/hello", f"{PREFIX}licenses": "GPL-3.0-or-later", "org.example.team": "ü"}
DEFAULT_DATE = "1970-01-01T00:00:01+00:00"


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server, use_policy(QUICK):
        yield server


def describe(store: FakeStore, **more: Any) -> Any:
    """Return the arguments of the image of these tests."""
    base = {"contents": ["hello"], "architecture": "amd64", "store": str(store.root), "name": "x", "tag": "1"}
    return base | more


def read_layout(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check all documents of a layout with one image; return the entry of the index, and the manifest."""
    check_oci_document("oci-layout", json.loads((folder / "oci-layout").read_text()))
    index = json.loads((folder / "index.json").read_text())
    check_oci_document(INDEX, index)
    (entry,) = index["manifests"]
    manifest = json.loads(find_blob(folder, entry))
    check_oci_document(entry["mediaType"], manifest)
    check_oci_document(manifest["config"]["mediaType"], json.loads(find_blob(folder, manifest["config"])))
    return entry, manifest


def find_blob(folder: Path, descriptor: dict[str, Any]) -> bytes:
    digest: str = descriptor["digest"]
    return (folder / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def read_pushed(server: MemoryRegistry, name: str = "me/app") -> dict[str, Any]:
    """Check the documents of an image in a registry, and return its manifest."""
    media_type, document = server.manifests[name]["1"]
    manifest: dict[str, Any] = json.loads(document)
    check_oci_document(media_type, manifest)
    config = manifest["config"]
    check_oci_document(config["mediaType"], json.loads(server.blobs[name][config["digest"]]))
    return manifest


def push(server: MemoryRegistry, store: FakeStore, **more: Any) -> lamina.RegistryPushResult:
    return lamina.push_layered_image(to=f"{server.host}/me/app:1", **describe(store, **more))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layout_follows_the_specification(store: FakeStore, tmp_path: Path, compression: str) -> None:
    config = {"Cmd": ["/bin/hello"], "Env": ["A=b"], "Labels": {"a": "b"}, "Volumes": {"/data": {}}}
    arguments = describe(store, annotations=GIVEN, layer_compression=compression, config=config, architecture="arm/v7")
    lamina.build_layered_image(output=f"{tmp_path}/layout/", **arguments)
    entry, manifest = read_layout(tmp_path / "layout")
    expected = {**GIVEN, f"{PREFIX}created": DEFAULT_DATE}
    assert manifest["annotations"] == expected
    assert list(manifest["annotations"]) == sorted(expected)
    names = {"io.containerd.image.name": "docker.io/library/x:1", f"{PREFIX}ref.name": "1"}
    assert entry["annotations"] == expected | names
    (found,) = lamina.inspect(tmp_path / "layout")
    assert found.annotations == expected


@pytest.mark.parametrize("form", ["oci", "hybrid"])
def test_an_archive_with_oci_s_documents_follows_the_specification(store: FakeStore, tmp_path: Path, form: str) -> None:
    built = lamina.build_layered_image(output=tmp_path / "x.tar", **describe(store, annotations=GIVEN, format=form))
    assert not built.warnings
    with tarfile.open(tmp_path / "x.tar") as archive:
        unpack(archive, tmp_path / "layout")
    entry, manifest = read_layout(tmp_path / "layout")
    assert manifest["annotations"] == {**GIVEN, f"{PREFIX}created": DEFAULT_DATE}
    assert manifest["annotations"].items() <= entry["annotations"].items()
    assert lamina.inspect(tmp_path / "x.tar")[0].annotations == manifest["annotations"]
    with pytest.raises(InvalidArgument, match=f"media_types: got docker and the format {form}"):
        lamina.build_layered_image(output=tmp_path / "x.tar", **describe(store, media_types="docker", format=form))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_pushed_image_follows_the_specification(server: MemoryRegistry, store: FakeStore, compression: str) -> None:
    pushed = push(server, store, annotations=GIVEN, layer_compression=compression, created="2026-01-31T12:00:00Z")
    manifest = read_pushed(server)
    assert manifest["annotations"] == {**GIVEN, f"{PREFIX}created": "2026-01-31T12:00:00+00:00"}
    assert server.manifests["me/app"]["1"][0] == manifest["mediaType"] == MANIFEST
    (found,) = lamina.inspect(pushed.references[0])
    assert found.annotations == manifest["annotations"]


def test_what_the_user_says_wins(store: FakeStore, tmp_path: Path) -> None:
    created = {f"{PREFIX}created": "2020-02-02T02:02:02Z"}
    lamina.build_layered_image(output=f"{tmp_path}/layout/", **describe(store, annotations=created))
    assert read_layout(tmp_path / "layout")[1]["annotations"] == created


def test_an_annotation_does_not_change_the_image_id(store: FakeStore, tmp_path: Path) -> None:
    results = [
        lamina.build_layered_image(output=f"{tmp_path}/{n}/", **describe(store, annotations=annotations))
        for n, annotations in enumerate(({}, GIVEN))
    ]
    assert results[0].id == results[1].id


def test_a_base_image_of_a_registry_is_named(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    base = lamina.push_layered_image(to=f"{server.host}/me/base:1", **describe(store))
    annotations = {f"{PREFIX}base.name": f"{server.host}/me/base:1", f"{PREFIX}base.digest": str(base.manifest_digest)}
    push(server, store, from_image=f"{server.host}/me/base:1", contents=[], closure=["hello"])
    assert annotations.items() <= read_pushed(server)["annotations"].items()
    pinned = base.references[0]
    lamina.build_layered_image(output=f"{tmp_path}/layout/", **describe(store, from_image=pinned))
    assert annotations.items() <= read_layout(tmp_path / "layout")[1]["annotations"].items()
    by_digest = f"{server.host}/me/base@{base.manifest_digest}"
    push(server, store, from_image=by_digest, contents=[], closure=["hello"])
    assert read_pushed(server)["annotations"][f"{PREFIX}base.name"] == by_digest


def test_a_base_image_of_a_layout_is_named_and_one_of_an_archive_is_not(store: FakeStore, tmp_path: Path) -> None:
    for output in (f"{tmp_path}/base/", tmp_path / "base.tar"):
        lamina.build_layered_image(output=output, **describe(store, name="example.org/base"))
    entry, _ = read_layout(tmp_path / "base")
    lamina.build_layered_image(output=f"{tmp_path}/one/", **describe(store, from_image=f"{tmp_path}/base"))
    assert read_layout(tmp_path / "one")[1]["annotations"] == {
        f"{PREFIX}created": DEFAULT_DATE,
        f"{PREFIX}base.name": "example.org/base:1",
        f"{PREFIX}base.digest": entry["digest"],
    }
    lamina.build_layered_image(output=f"{tmp_path}/two/", **describe(store, from_image=tmp_path / "base.tar"))
    assert read_layout(tmp_path / "two")[1]["annotations"] == {f"{PREFIX}created": DEFAULT_DATE}


def test_a_pull_and_a_push_keep_annotations(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    pushed = push(server, store, annotations=GIVEN)
    lamina.pull_image(f"{server.host}/me/app:1", output=f"{tmp_path}/pulled/")
    assert read_layout(tmp_path / "pulled")[1] == read_pushed(server)
    again = lamina.push_image(tmp_path / "pulled", to=f"{server.host}/me/other:1")
    assert again.manifest_digest == pushed.manifest_digest
    lamina.build_layered_image(output=f"{tmp_path}/plain/", **describe(store, annotations=GIVEN))
    lamina.push_image(tmp_path / "plain", to=f"{server.host}/me/packed:1")
    packed = read_pushed(server, "me/packed")
    assert packed["annotations"] == read_pushed(server)["annotations"], "the layers were compressed, so it is a new one"


def test_an_archive_has_no_annotations_and_says_so(store: FakeStore, tmp_path: Path) -> None:
    built = lamina.build_layered_image(output=tmp_path / "x.tar", **describe(store, annotations=GIVEN))
    (warning,) = built.warnings
    assert warning.startswith("annotations: a docker-archive has no place for them")
    assert lamina.inspect(tmp_path / "x.tar")[0].annotations == {}
    assert not lamina.build_layered_image(output=tmp_path / "y.tar", **describe(store)).warnings


# --- docker's media types


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_docker_s_media_types_are_pushed(server: MemoryRegistry, store: FakeStore, compression: str) -> None:
    pushed = push(server, store, layer_compression=compression, media_types="docker")
    manifest = read_pushed(server)
    assert server.manifests["me/app"]["1"][0] == manifest["mediaType"] == f"{DOCKER}distribution.manifest.v2+json"
    assert {layer["mediaType"].rpartition(".")[2] for layer in manifest["layers"]} == {
        {"none": "tar"}.get(compression, compression)
    }
    (found,) = lamina.inspect(pushed.references[0])
    assert (found.id, found.annotations) == (pushed.id, {})


def test_a_base_image_gets_the_media_types_of_the_image(server: MemoryRegistry, store: FakeStore) -> None:
    lamina.push_layered_image(to=f"{server.host}/me/base:1", **describe(store))
    arguments = {"from_image": f"{server.host}/me/base:1", "contents": [], "closure": ["hello"]}
    for media_types in ("docker", "oci"):
        push(server, store, media_types=media_types, **arguments)
        assert len(read_pushed(server)["layers"]) > 1
        # Next, the base image is the one with docker's media types.
        server.manifests["me/base"] = dict(server.manifests["me/app"])
        server.blobs["me/base"] = dict(server.blobs["me/app"])


def test_a_base_image_of_zstd_has_no_media_types_of_docker(server: MemoryRegistry, store: FakeStore) -> None:
    lamina.push_layered_image(to=f"{server.host}/me/base:1", **describe(store, layer_compression="zstd"))
    with pytest.raises(InvalidArgument, match="got zstd and docker's media types, expected layers of none or gzip"):
        push(server, store, media_types="docker", from_image=f"{server.host}/me/base:1", contents=[], closure=["hello"])
    assert "me/app" not in server.manifests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_compression": "zstd"}, "layer_compression: got zstd and docker's media types, expected layers of"),
        (
            {"annotations": GIVEN},
            "annotations: got annotations and docker's media types, which have none, expected one",
        ),
    ],
)
def test_docker_s_media_types_have_neither_zstd_nor_annotations(
    store: FakeStore, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        lamina.stream_layered_image(**describe(store, media_types="docker", **arguments))
    assert "--media-types oci" in caught.value.hint


def test_a_layout_with_docker_s_media_types_is_refused(store: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="media_types: got docker and an OCI layout") as caught:
        lamina.build_layered_image(output=f"{tmp_path}/layout/", **describe(store, media_types="docker"))
    assert "lamina push" in caught.value.hint
    assert not (tmp_path / "layout").exists()


# --- the command line


def test_options_add_to_a_spec_file_and_win(store: FakeStore, tmp_path: Path) -> None:
    spec = tmp_path / "lamina.toml"
    spec.write_text(f'[x]\ncontents = ["hello"]\ntag = "1"\nannotations = {{ "{SOURCE}" = "old", "a" = "kept" }}\n')
    ran = run(
        *("build", "--spec", spec, "--store", store.root, "-o", f"{tmp_path}/layout/", "--annotation", f"{SOURCE}=new"),
    )
    assert ran.code == 0, ran.stderr
    found = read_layout(tmp_path / "layout")[1]["annotations"]
    assert (found[SOURCE], found["a"]) == ("new", "kept")
    shown = run("inspect", tmp_path / "layout", "--full")
    assert f"{SOURCE}=new" in shown.stdout.decode()
    assert json.loads(run("inspect", tmp_path / "layout", "--json").stdout)["annotations"] == found


def test_a_wrong_annotation_is_refused_under_the_name_of_the_option(store: FakeStore, tmp_path: Path) -> None:
    ran = run("build", "hello", "--store", store.root, "-o", f"{tmp_path}/x/", "--annotation", f"{PREFIX}ref.name=x")
    assert ran.code == 2
    assert ran.stderr.startswith(f"lamina: --annotation: got {PREFIX}ref.name, expected another key")
    assert "--tag" in ran.stderr


def test_push_takes_media_types(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    common = ("--store", store.root, "--to", f"{server.host}/me/app:1", "--media-types", "docker")
    ran = run("push", "hello", *common)
    assert ran.code == 0, ran.stderr
    assert read_pushed(server)["mediaType"].startswith(DOCKER)
    refused = run("push", "hello", *common, "--annotation", "a=b")
    assert (refused.code, refused.stderr.splitlines()[-1]) == (2, "hint: --media-types oci is the default")


# --- the schemas themselves


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"mediaType": INDEX},
        {"annotations": {"a": 1}},
        {"annotations": {"": "a"}},
        {"annotations": {f"{PREFIX}created": "yesterday"}},
        {"layers": []},
        {"config": {}},
        {"other": 1},
    ],
)
def test_the_schema_of_a_manifest_refuses_what_the_specification_forbids(change: dict[str, Any]) -> None:
    digest = str(digest_of(b""))
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 0}
    layer = {**described, "mediaType": "application/vnd.oci.image.layer.v1.tar"}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [layer]}
    check_oci_document(MANIFEST, copy.deepcopy(manifest))
    with pytest.raises(jsonschema.ValidationError):
        check_oci_document(MANIFEST, manifest | change)
