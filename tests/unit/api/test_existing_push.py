"""Pushing images that exist: one, those for all platforms, and those of several files as one index."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import run
from tests.support.image_files import OCI, LayoutBuilder, docker_archive, layer, platform, sha256
from tests.support.indexes import INDEX_TYPE, NAME, add_index, add_platform, add_whole_index
from tests.support.oci_schemas import check_oci_document
from tests.support.registry import MemoryRegistry, add_image, answer_with, serve_open_registry

import lamina
from lamina.errors import FormatError, IntegrityError, InvalidArgument, NotFound, RegistryError

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with serve_open_registry(tmp_path, monkeypatch) as server:
        yield server


def name(reference: str) -> dict[str, Any]:
    return {"annotations": {NAME: f"docker.io/library/{reference}"}}


def write(folder: Path, layout: LayoutBuilder, *entries: dict[str, Any]) -> Path:
    layout.index(*entries)
    layout.write(folder)
    return folder


def write_archive(folder: Path, architecture: str, tag: str = "app:1") -> Path:
    layers = {"a.tar": layer("etc/shared"), "b.tar": layer(f"etc/{architecture}")}
    diff_ids = [sha256(content) for content in layers.values()]
    config = {**platform(architecture), "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    path = folder / f"{architecture}.tar"
    path.write_bytes(docker_archive(layers, config=config, entry={"RepoTags": [tag]}))
    return path


def push(registry: MemoryRegistry, images: Any, repository: str = "me/app", **more: Any) -> lamina.IndexPushResult:
    return lamina.push_index(images, to=f"{registry.host}/{repository}:1", **more)


def read_tag(registry: MemoryRegistry, repository: str = "me/app", tag: str = "1") -> tuple[str, dict[str, Any]]:
    media_type, document = registry.manifests[repository][tag]
    return media_type, json.loads(document)


# A whole index


def test_a_whole_index_keeps_its_bytes_and_all_that_it_lists(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    described = add_whole_index(layout, **name("app:1"))
    pushed = push(registry, write(tmp_path, layout, described))
    assert pushed.references == (f"{registry.host}/me/app:1@{described['digest']}",)
    assert str(pushed.digest) == described["digest"]
    assert [image.platform for image in pushed.images] == ["linux/amd64", "linux/arm64"]
    media_type, index = read_tag(registry)
    assert media_type == INDEX_TYPE
    for listed in index["manifests"]:
        document = json.loads(registry.manifests["me/app"][listed["digest"]][1])
        for blob in (document["config"], *document["layers"]):
            data = registry.blobs["me/app"][blob["digest"]]
            assert data == layout.members[f"blobs/sha256/{blob['digest'][7:]}"]
    assert [target for target in registry.manifests["me/app"] if not target.startswith("sha256:")] == ["1"]


def test_the_index_comes_last(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    push(registry, write(tmp_path, layout, add_whole_index(layout)))
    puts = [request.path for request in registry.seen if request.method == "PUT" and "/manifests/" in request.path]
    assert [path.rpartition("/")[2].partition(":")[0] for path in puts] == ["sha256", "sha256", "sha256", "1"]


@pytest.mark.parametrize("path", ["/manifests/sha256", "/blobs/uploads"])
@pytest.mark.parametrize("after", [0, 2])
def test_a_push_that_fails_moves_no_tag(registry: MemoryRegistry, tmp_path: Path, path: str, after: int) -> None:
    layout = LayoutBuilder()
    folder = write(tmp_path, layout, add_whole_index(layout))
    method = "PUT" if "manifests" in path else "POST"
    registry.fail(method, path, answer_with(400), times=99, after=after)
    with pytest.raises(RegistryError):
        push(registry, folder)
    assert "1" not in registry.manifests.get("me/app", {})


def test_an_index_is_copied_from_one_repository_to_another(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    described = add_whole_index(layout)
    add_image(registry, layout, described)
    registry.seen.clear()
    pushed = push(registry, f"{registry.host}/me/app:1", "you/copy")
    assert registry.manifests["you/copy"]["1"] == registry.manifests["me/app"]["1"]
    assert {*registry.manifests["you/copy"]} - {"1"} <= {*registry.manifests["me/app"]}
    assert len(registry.manifests["you/copy"]) == 5
    assert sum(image.blobs_mounted for image in pushed.images) > 0
    assert not any(request.size > 10_000 for request in registry.seen)


def test_a_list_of_docker_is_copied_as_it_is(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    images = [add_platform(layout, architecture) for architecture in ("amd64", "arm64")]
    text = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": images}
    add_image(registry, layout, layout.blob(json.dumps(text).encode(), DOCKER_LIST))
    push(registry, f"{registry.host}/me/app:1", "you/copy")
    assert registry.manifests["you/copy"]["1"] == registry.manifests["me/app"]["1"]


def test_an_index_of_one_platform_with_attestations_is_whole_too(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    described = add_index(layout, [add_platform(layout, "amd64")])
    pushed = push(registry, write(tmp_path, layout, described))
    assert str(pushed.digest) == described["digest"]


# New indexes


def test_plain_layers_are_compressed_and_the_index_is_made_again(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    described = add_whole_index(layout, is_compressed=False, **name("app:1"))
    pushed = push(registry, write(tmp_path, layout, described))
    assert str(pushed.digest) != described["digest"]
    media_type, index = read_tag(registry)
    check_oci_document(media_type, index)
    assert index["annotations"] == {"org.example.team": "web"}
    assert [item["platform"] for item in index["manifests"]] == [platform("amd64"), platform("arm64")]
    (warning,) = pushed.warnings
    assert warning.startswith(f"{registry.host}/me/app:1: attestations are left out")
    same = push(registry, tmp_path, "you/plain", layer_compression="none")
    assert (str(same.digest), same.warnings) == (described["digest"], ())


def test_images_of_one_name_without_an_index_get_one(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    entries = [add_platform(layout, architecture, **name("app:1")) for architecture in ("amd64", "arm64")]
    push(registry, write(tmp_path, layout, *entries))
    _, index = read_tag(registry)
    assert [item["digest"] for item in index["manifests"]] == [entry["digest"] for entry in entries]


def test_archives_of_several_platforms_become_an_index(registry: MemoryRegistry, tmp_path: Path) -> None:
    files = [write_archive(tmp_path, architecture, f"app:{architecture}") for architecture in ("amd64", "arm64")]
    pushed = push(registry, files)
    assert [image.platform for image in pushed.images] == ["linux/amd64", "linux/arm64"]
    assert [image.id for image in lamina.inspect(f"{registry.host}/me/app:1")] == [image.id for image in pushed.images]
    assert pushed.images[1].blobs_sent == 1


def test_images_of_a_registry_become_an_index_with_their_manifests(registry: MemoryRegistry) -> None:
    digests = []
    for architecture in ("amd64", "arm64"):
        layout = LayoutBuilder()
        image = add_platform(layout, architecture)
        digests.append(image["digest"])
        add_image(registry, layout, image, tag=f"1-{architecture}")
    push(registry, [f"{registry.host}/me/app:1-{architecture}" for architecture in ("amd64", "arm64")])
    _, index = read_tag(registry)
    assert [item["digest"] for item in index["manifests"]] == digests


def test_docker_s_media_types_make_a_manifest_list(registry: MemoryRegistry, tmp_path: Path) -> None:
    push(registry, [write_archive(tmp_path, name) for name in ("amd64", "arm64")], media_types="docker")
    media_type, index = read_tag(registry)
    assert media_type == index["mediaType"] == DOCKER_LIST


def test_a_single_image_gets_no_index(registry: MemoryRegistry, tmp_path: Path) -> None:
    pushed = push(registry, write_archive(tmp_path, "amd64"))
    media_type, _ = read_tag(registry)
    assert media_type == f"{OCI}manifest.v1+json"
    assert (pushed.digest, len(pushed.images)) == (pushed.images[0].manifest_digest, 1)


# Errors, before anything is sent


def test_an_index_that_is_not_complete_is_refused_before_anything_is_sent(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    layout = LayoutBuilder()
    images = [add_platform(layout, architecture) for architecture in ("amd64", "arm64", "s390x")]
    entry = add_index(layout, images)
    del layout.members[f"blobs/sha256/{images[2]['digest'][7:]}"]
    with pytest.raises(FormatError, match="got an index that lists linux/s390x, but no manifest"):
        push(registry, write(tmp_path, layout, entry))
    assert registry.seen == []


def test_an_index_that_contradicts_an_image_is_refused(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    wrong = layout.image([layer("a")], config_more=platform("arm64"), platform=platform("amd64"))
    folder = write(tmp_path, layout, add_index(layout, [wrong, add_platform(layout, "s390x")]))
    with pytest.raises(IntegrityError, match="the index states linux/amd64, and the config of the image linux/arm64"):
        push(registry, folder)
    assert registry.seen == []


def test_two_images_for_one_platform_are_refused(registry: MemoryRegistry, tmp_path: Path) -> None:
    one = write_archive(tmp_path, "amd64")
    two = tmp_path / "two.tar"
    config = {**platform("amd64"), "rootfs": {"type": "layers", "diff_ids": [sha256(layer("x"))]}}
    two.write_bytes(docker_archive({"a.tar": layer("x")}, config=config))
    with pytest.raises(InvalidArgument, match="got two images for linux/amd64"):
        push(registry, [one, two])
    with pytest.raises(InvalidArgument, match="images: got none, expected at least one"):
        push(registry, [])


def test_images_of_different_names_have_to_be_chosen(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    entries = [add_platform(layout, name_, **name(f"{name_}:1")) for name_ in ("amd64", "arm64")]
    with pytest.raises(NotFound, match="got 2 images, expected one of amd64:1, arm64:1"):
        push(registry, write(tmp_path, layout, *entries))


def test_push_image_wants_one_platform(registry: MemoryRegistry, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    folder = write(tmp_path, layout, add_whole_index(layout, **name("app:1")))
    with pytest.raises(NotFound, match="got 2 images"):
        lamina.push_image(folder, to=f"{registry.host}/me/app:1")
    pushed = lamina.push_image(folder, to=f"{registry.host}/me/app:1", platform="arm64")
    assert pushed.platform == "linux/arm64"
    assert read_tag(registry)[0] == f"{OCI}manifest.v1+json"


# The command


def test_the_command_pushes_the_whole_index_unless_a_platform_is_chosen(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    layout = LayoutBuilder()
    described = add_whole_index(layout, **name("app:1"))
    folder = write(tmp_path / "images", layout, described)
    arguments = ("push", f"{folder}#app:1", "--to", f"{registry.host}/me/app:1", "--no-layer-cache")
    ran = run(*arguments)
    assert (ran.code, ran.stdout.decode()) == (0, f"{registry.host}/me/app:1@{described['digest']}\n")
    document = json.loads(run(*arguments, "--json").stdout)
    assert [image["platform"] for image in document["images"]] == ["linux/amd64", "linux/arm64"]
    assert document["digest"] == described["digest"]
    ran = run(*arguments, "--platform", "arm64")
    assert ran.stdout.decode() != f"{registry.host}/me/app:1@{described['digest']}\n"
    assert read_tag(registry)[0] == f"{OCI}manifest.v1+json"


def test_merge_pushes_archives_as_one_image(registry: MemoryRegistry, tmp_path: Path) -> None:
    files = [write_archive(tmp_path, architecture) for architecture in ("amd64", "arm64")]
    to = f"{registry.host}/me/app"
    arguments: list[str | Path] = ["merge", *files, "--to", f"{to}:1", "--to", f"{to}:latest"]
    ran = run(*arguments)
    digest = sha256(registry.manifests["me/app"]["1"][1])
    assert ran.code == 0
    assert ran.stdout.decode().splitlines() == [f"{registry.host}/me/app:{tag}@{digest}" for tag in ("1", "latest")]
    document = json.loads(run(*arguments, "--json").stdout)
    assert document["file"] is None
    assert document["indexes"][0]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert document["references"][0].endswith(document["indexes"][0]["digest"])


@pytest.mark.parametrize("flag", [("-o", "x/"), ("--platform", "arm64"), ("--format", "oci"), ("-t", "app:1")])
def test_merge_into_a_registry_has_no_options_of_files(flag: tuple[str, str]) -> None:
    ran = run("merge", "x.tar", "--to", "localhost:1/app:1", *flag)
    assert (ran.code, f"{flag[0]}: got it and --to" in ran.stderr) == (2, True)


def test_merge_needs_a_destination() -> None:
    ran = run("merge", "x.tar")
    assert (ran.code, "-o: got nothing, expected a file or a folder" in ran.stderr) == (2, True)
