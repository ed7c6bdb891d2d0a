"""An image for each platform is made of its own store paths, and an index lists them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example, store_path
from tests.support.oci_schemas import check_oci_document
from tests.support.programs import MACHINES, program
from tests.support.progress import RecordedProgress
from tests.support.registry import QUICK, MemoryRegistry, serve_registry

import lamina
from lamina.errors import AuthError, InvalidArgument, NotFound, RegistryError, ScriptError
from lamina.formats.media_types import DOCKER, OCI
from lamina.transports.retry import use_policy

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """Return a store with the package ``tool`` for two processors."""
    store, _ = example(tmp_path / "root")
    for platform, machine in MACHINES.items():
        store.add("tool-1", {"bin": {"tool": program(machine)}}, seed=platform)
    return store


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server, use_policy(QUICK):
        yield server


def describe(store: FakeStore, **arguments: Any) -> dict[str, Any]:
    words = {"contents": ["words", "tool"], "platforms": PLATFORMS, "name": "x", "tag": "1"}
    return words | {"store": str(store.root), "annotations": {"org.example.team": "docs"}} | arguments


def blob(folder: Path, digest: object) -> bytes:
    data = (folder / "blobs/sha256" / str(digest).removeprefix("sha256:")).read_bytes()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == str(digest)
    return data


def read_index(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the only entry of a layout, and the index that it refers to."""
    (entry,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    index = json.loads(blob(folder, entry["digest"]))
    check_oci_document(entry["mediaType"], index)
    return entry, index


def test_a_layout_has_one_name_for_the_images_of_all_platforms(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    built = lamina.build_image_index(output=f"{folder}/", **describe(store) | {"format": "oci"})
    entry, index = read_index(folder)
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1"
    assert (entry["mediaType"], entry["digest"]) == (OCI.index, str(built.digest))
    assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]
    for item, image, platform in zip(index["manifests"], built.images, PLATFORMS, strict=True):
        manifest = json.loads(blob(folder, item["digest"]))
        check_oci_document(OCI.manifest, manifest)
        assert manifest["annotations"]["org.example.team"] == index["annotations"]["org.example.team"] == "docs"
        assert manifest["config"]["digest"] == image.id
        assert image.platform == platform
        assert image.repo_tag == built.repo_tag == "x:1"
        tools = [path for layer in image.layers for path in layer.paths if path.package == "tool"]
        assert tools == [store_path("tool-1", platform)]
    assert built.warnings == ()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_an_archive_has_what_a_layout_has_and_each_blob_once(
    store: FakeStore, tmp_path: Path, compression: str
) -> None:
    arguments = describe(store, layer_compression=compression)
    built = lamina.build_image_index(output=f"{tmp_path}/layout/", **arguments)
    archived = lamina.build_image_index(output=tmp_path / "x.tar", format="oci", **arguments)
    assert archived.digest == built.digest
    with tarfile.open(tmp_path / "x.tar") as archive:
        names = archive.getnames()
        contents = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert len(names) == len(contents)
    files = {file.relative_to(tmp_path / "layout"): file for file in (tmp_path / "layout").rglob("*") if file.is_file()}
    assert {Path(name): data for name, data in contents.items()} == {
        name: file.read_bytes() for name, file in files.items()
    }
    first, second = archived.images
    shared = {*first.blobs} & {*second.blobs}
    assert shared
    assert [image.blobs_reused for image in archived.images] == [0, len(shared)]
    assert archived.bytes_written == (tmp_path / "x.tar").stat().st_size
    found = lamina.inspect(tmp_path / "x.tar")
    assert [(image.platform, image.repo_tags) for image in found] == [(name, ("x:1",)) for name in PLATFORMS]


def test_each_image_is_the_one_that_is_made_alone(store: FakeStore, tmp_path: Path) -> None:
    arguments = describe(store)
    with lamina.stream_image_index(**arguments) as stream:
        built = stream.build(f"{tmp_path}/layout/")
        sink = io.BytesIO()
        with pytest.raises(
            InvalidArgument, match=r"^format: got docker and several platforms, expected oci for a file"
        ):
            stream.write_to(sink)
        assert sink.getvalue() == b""
        assert [decision.partition(":")[0] for decision in stream.decisions[:1]] == ["linux/amd64"]
    for image, platform in zip(built.images, PLATFORMS, strict=True):
        alone = lamina.build_layered_image(output=tmp_path / "alone.tar", **arguments | {"platforms": platform})
        assert (alone.id, alone.layers) == (image.id, image.layers)
    with pytest.raises(InvalidArgument, match="got a closed stream"):
        stream.build(f"{tmp_path}/layout/")


def test_a_second_build_writes_what_changed_and_says_what_an_update_moves(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    roots = {"linux/arm64": ["hello"]}
    first = lamina.build_image_index(output=f"{folder}/", **describe(store))
    assert [image.update for image in first.images] == [None, None]
    again = lamina.build_image_index(output=f"{folder}/", **describe(store))
    assert (again.digest, again.bytes_written) == (first.digest, 0)
    assert all(image.update and image.update.sent.count == 0 for image in again.images)
    changed = lamina.build_image_index(output=f"{folder}/", **describe(store, roots=roots))
    moved = [image.update.sent.count for image in changed.images if image.update]
    assert moved[0] == 0
    assert moved[1] > 0


def test_the_tag_is_that_of_the_index_and_now_is_one_moment(store: FakeStore, tmp_path: Path) -> None:
    built = lamina.build_image_index(output=f"{tmp_path}/layout/", **describe(store, tag=None, created="now"))
    assert built.reference.tag == built.digest.hex[:32]
    assert {image.repo_tag for image in built.images} == {built.repo_tag}
    _, index = read_index(tmp_path / "layout")
    assert "org.opencontainers.image.created" in index["annotations"]


def test_what_cannot_be_an_index_is_refused_before_anything_runs(store: FakeStore, tmp_path: Path) -> None:
    script = {"extra_commands": f"touch {tmp_path}/ran", "sandbox": False}
    for output, more in (("x.tar", {}), ("x.tar", {"format": "hybrid"}), ("layout/", {"platforms": ()})):
        with pytest.raises(InvalidArgument):
            lamina.build_image_index(output=f"{tmp_path}/{output}", **describe(store, **script, **more))
    with pytest.raises(InvalidArgument, match=r"^linux/amd64: jobs: got 0"):
        lamina.build_image_index(output=f"{tmp_path}/layout/", **describe(store, **script, jobs=0))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "layout").exists()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"roots": {"linux/arm64": ["none"]}}, NotFound, "linux/arm64: 'none': got no valid path"),
        ({"platforms": ["amd64", "s390x"]}, NotFound, "linux/s390x: 'tool': got 2 paths of that name"),
        (
            {"extra_commands": "! ls -R | grep -qx hello", "roots": {"arm64": ["hello"]}, "sandbox": False},
            ScriptError,
            "linux/arm64: extra commands",
        ),
    ],
    ids=["root", "name", "script"],
)
def test_an_error_names_the_platform_and_nothing_is_tagged(
    store: FakeStore, tmp_path: Path, arguments: dict[str, Any], kind: type[lamina.Error], message: str
) -> None:
    with pytest.raises(kind) as failed:
        lamina.build_image_index(output=f"{tmp_path}/layout/", **describe(store, **arguments))
    assert str(failed.value).startswith(message)
    assert not (tmp_path / "layout/index.json").exists()


def test_a_warning_names_the_platform(store: FakeStore, tmp_path: Path) -> None:
    roots = {"linux/arm64": [str(store_path("tool-1", "linux/amd64"))]}
    built = lamina.build_image_index(
        output=f"{tmp_path}/x/", **describe(store, roots=roots, contents=["words"]) | {"tag": "1"}
    )
    assert built.warnings == ("linux/arm64: architecture: got arm64, expected amd64, that of the first program",)


def test_a_registry_has_the_index_last_under_all_tags(store: FakeStore, server: MemoryRegistry) -> None:
    progress = RecordedProgress()
    names = [f"{server.host}/{name}" for name in ("me/app:1", "me/app:2", "you/app:1")]
    pushed = lamina.push_image_index(to=names, progress=progress, **describe(store))
    assert pushed.references == tuple(f"{name}@{pushed.digest}" for name in names)
    assert pushed.repo_tags == tuple(names)
    media_type, document = server.manifests["me/app"]["1"]
    index = json.loads(document)
    check_oci_document(media_type, index)
    assert [item["digest"] for item in index["manifests"]] == [str(image.manifest_digest) for image in pushed.images]
    assert [item["size"] for item in index["manifests"]] == [image.manifest_size for image in pushed.images]
    assert [image.repo_tags for image in pushed.images] == [(), ()]
    puts = [request.path for request in server.seen if request.method == "PUT" and "/manifests/" in request.path]
    assert [path.rpartition("/")[2] for path in puts[-3:]] == ["1", "2", "1"]
    assert all("/sha256:" in path for path in puts[:-3])
    for repository in ("me/app", "you/app"):
        assert set(server.manifests[repository]) >= {str(image.manifest_digest) for image in pushed.images}
    assert [image.platform for image in lamina.inspect(names[0])] == list(PLATFORMS)
    assert [work.title for work in progress.works] == [f"x:1 {platform}" for platform in PLATFORMS]


def test_a_second_push_sends_nothing_and_reads_no_layer_without_a_layer_cache(
    store: FakeStore, server: MemoryRegistry
) -> None:
    name = f"{server.host}/me/app:1"
    first = lamina.push_image_index(to=name, **describe(store))
    again = lamina.push_image_index(to=name, **describe(store))
    assert (again.digest, again.images) == (first.digest, first.images)
    assert [(image.blobs_sent, image.update and image.update.sent.count) for image in again.images] == [(0, 0), (0, 0)]
    changed = lamina.push_image_index(to=f"{server.host}/me/app:2", cache_from=name, **describe(store))
    assert [image.blobs_sent for image in changed.images] == [0, 0]


def test_docker_has_a_manifest_list(store: FakeStore, server: MemoryRegistry) -> None:
    name = f"{server.host}/me/app:1"
    pushed = lamina.push_image_index(to=name, **describe(store, media_types="docker", annotations=()))
    media_type, document = server.manifests["me/app"]["1"]
    check_oci_document(DOCKER.index, json.loads(document))
    assert media_type == DOCKER.index
    assert [image.platform for image in lamina.inspect(name)] == list(PLATFORMS)
    assert len(pushed.images) == 2


@pytest.mark.parametrize("failing", ["blob", "manifest", "index"])
def test_a_push_that_fails_moves_no_tag(store: FakeStore, server: MemoryRegistry, failing: str) -> None:
    name = f"{server.host}/me/app:1"
    lamina.push_image_index(to=name, **describe(store))
    before = server.manifests["me/app"]["1"]
    path, after = {"blob": ("/blobs/uploads/", 0), "manifest": ("/manifests/sha256", 1), "index": ("/manifests/1", 0)}[
        failing
    ]
    method = "POST" if failing == "blob" else "PUT"
    server.fail(method, path, lambda handler: handler.refuse(403, "DENIED"), times=99, after=after)
    with pytest.raises((RegistryError, AuthError)) as failed:
        lamina.push_image_index(to=name, **describe(store, roots={"linux/arm64": ["hello"]}))
    assert str(failed.value).startswith("linux/arm64: ") == (failing != "index")
    assert server.manifests["me/app"]["1"] == before
