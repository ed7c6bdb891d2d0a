"""Indexes of images that exist: copied, fetched and merged by lamina, and judged by skopeo, podman and crane."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engines import Engine, RegistryClient, Skopeo
from tests.support.fake_nix_store import run
from tests.support.image_files import LayoutBuilder, docker_archive, layer, platform, sha256
from tests.support.indexes import add_whole_index
from tests.support.oci_schemas import check_oci_document

import lamina

REF_NAME = "org.opencontainers.image.ref.name"
PLATFORMS = ("amd64", "arm64")
READ, WRITE = "--src-tls-verify=false", "--dest-tls-verify=false"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout with ``all``: an index of two platforms, with an annotation and an attestation."""
    folder = tmp_path_factory.mktemp("source")
    builder = LayoutBuilder()
    builder.index(add_whole_index(builder, annotations={REF_NAME: "all"}))
    builder.write(folder)
    return folder


@pytest.fixture(scope="module")
def source(registry: str, skopeo: Skopeo, layout: Path) -> str:
    """The index in docker-registry, where skopeo copied it with all that it lists."""
    reference = f"{registry}/indexes/source:1"
    skopeo.copy(f"oci:{layout}:all", f"docker://{reference}", WRITE, "--all", "--preserve-digests")
    return reference


@pytest.fixture
def archives(tmp_path: Path) -> list[Path]:
    """A docker-archive for each platform, of one name."""
    return [write_archive(tmp_path, architecture) for architecture in PLATFORMS]


def write_archive(folder: Path, architecture: str) -> Path:
    layers = {"a.tar": layer("etc/shared"), "b.tar": layer(f"etc/{architecture}")}
    diff_ids = [sha256(content) for content in layers.values()]
    config = {**platform(architecture), "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    path = folder / f"{architecture}.tar"
    path.write_bytes(docker_archive(layers, config=config, entry={"RepoTags": ["test/merged:1"]}))
    return path


def read_raw(skopeo: Skopeo, reference: str) -> bytes:
    return skopeo.call("inspect", "--tls-verify=false", "--raw", f"docker://{reference}").stdout.encode()


def check_copy(skopeo: Skopeo, reference: str, folder: Path) -> None:
    """Let skopeo copy all that an index lists, for which it checks every digest, and compare the documents."""
    skopeo.copy(f"docker://{reference}", f"oci:{folder}:copy", READ, "--all", "--preserve-digests")
    raw = read_raw(skopeo, reference)
    assert (folder / "blobs/sha256" / sha256(raw)[7:]).read_bytes() == raw


def test_a_whole_index_is_pushed_with_the_digest_that_it_has(
    registry: str, skopeo: Skopeo, layout: Path, tmp_path: Path
) -> None:
    reference = f"{registry}/indexes/pushed:1"
    pushed = lamina.push_index(f"{layout}#all", to=reference)
    raw = read_raw(skopeo, reference)
    check_oci_document("application/vnd.oci.image.index.v1+json", json.loads(raw))
    assert raw == (layout / "blobs/sha256" / pushed.digest.hex).read_bytes()
    check_copy(skopeo, reference, tmp_path / "copy")


def test_an_index_is_copied_between_repositories(registry: str, skopeo: Skopeo, source: str, tmp_path: Path) -> None:
    reference = f"{registry}/indexes/copied:1"
    ran = run("push", source, "--to", reference, "--no-layer-cache")
    assert ran.code == 0, ran.stderr
    raw = read_raw(skopeo, source)
    assert ran.stdout.decode() == f"{reference}@{sha256(raw)}\n"
    assert read_raw(skopeo, reference) == raw
    check_copy(skopeo, reference, tmp_path / "copy")


def test_an_index_is_pulled_as_skopeo_does_it(skopeo: Skopeo, source: str, tmp_path: Path) -> None:
    ran = run("pull", source, "--all-platforms", "-o", f"{tmp_path}/images/", "--json")
    assert ran.code == 0, ran.stderr
    skopeo.copy(f"docker://{source}", f"oci:{tmp_path}/theirs:1", READ, "--all", "--preserve-digests")
    ours, theirs = (
        {file.name for file in (tmp_path / name / "blobs/sha256").iterdir()} for name in ("images", "theirs")
    )
    assert ours == theirs
    document = json.loads(ran.stdout)
    assert document["digest"] == sha256(read_raw(skopeo, source))
    for architecture in PLATFORMS:
        config = skopeo.inspect(f"oci:{tmp_path}/images:1", "--config", "--override-arch", architecture)
        assert config["architecture"] == architecture


def test_inspect_and_diff_show_the_platforms_of_an_index(source: str, layout: Path) -> None:
    document = json.loads(run("inspect", source, "--json").stdout)
    (index,) = document["indexes"]
    assert [item["platform"] for item in index["manifests"]] == ["linux/amd64", "linux/arm64", "unknown/unknown"]
    compared = json.loads(run("diff", source, f"{layout}#all", "--json").stdout)
    assert [item["sent"]["blob_count"] for item in compared["platforms"]] == [0, 0]


def write_layout(files: list[Path], folder: Path) -> str:
    lamina.merge_images(files, output=f"{folder}/merged/", layer_compression="gzip")
    return f"oci:{folder}/merged:1"


def write_oci_archive(files: list[Path], folder: Path) -> str:
    lamina.merge_images(files, output=folder / "merged.tar", format="oci")
    return f"oci-archive:{folder}/merged.tar:1"


@pytest.mark.parametrize("write", [write_layout, write_oci_archive], ids=["oci", "oci-archive"])
def test_skopeo_and_podman_choose_a_platform_of_a_merged_image(
    skopeo: Skopeo, podman: Engine, archives: list[Path], tmp_path: Path, write: Callable[[list[Path], Path], str]
) -> None:
    name = write(archives, tmp_path)
    ids = {image.architecture: image.id for file in archives for image in lamina.inspect(file)}
    for architecture in PLATFORMS:
        raw = skopeo.call("inspect", "--config", "--raw", "--override-arch", architecture, name).stdout.encode()
        assert sha256(raw) == ids[architecture]
        pulled = podman.call("pull", "--quiet", "--arch", architecture, name).stdout.split()[-1]
        assert podman.inspect(pulled)["Architecture"] == architecture
        podman.remove(pulled)
    skopeo.copy(name, f"oci:{tmp_path}/copy:1", "--all", "--preserve-digests")


def test_images_that_were_built_apart_become_an_index_of_a_registry(
    registry: str, skopeo: Skopeo, podman: Engine, archives: list[Path], tmp_path: Path
) -> None:
    apart = [f"{registry}/indexes/merged:1-{architecture}" for architecture in PLATFORMS]
    for file, reference in zip(archives, apart, strict=True):
        lamina.push_image(file, to=reference)
    together = f"{registry}/indexes/merged:1"
    ran = run("merge", *apart, "--to", together)
    assert ran.code == 0, ran.stderr
    index: dict[str, Any] = json.loads(read_raw(skopeo, together))
    check_oci_document(index["mediaType"], index)
    assert [item["digest"] for item in index["manifests"]] == [sha256(read_raw(skopeo, one)) for one in apart]
    check_copy(skopeo, together, tmp_path / "copy")
    for architecture in PLATFORMS:
        with podman.pulled(together, options=("--arch", architecture)):
            assert podman.inspect(together)["Architecture"] == architecture


def test_an_index_of_podman_is_copied_and_its_images_are_found(
    registry: str, skopeo: Skopeo, podman: Engine, archives: list[Path], tmp_path: Path
) -> None:
    """podman makes an index with ``manifest create``."""
    podman.call("manifest", "create", "test/list:1")
    for file in archives:
        podman.call("manifest", "add", "test/list:1", f"docker-archive:{file}")
    theirs, ours = (f"{registry}/indexes/{name}:1" for name in ("podman", "podman-copy"))
    podman.call("manifest", "push", "--all", "--tls-verify=false", "test/list:1", f"docker://{theirs}")
    podman.call("manifest", "rm", "test/list:1")
    pushed = lamina.push_index(theirs, to=ours)
    assert [image.platform for image in pushed.images] == ["linux/amd64", "linux/arm64"]
    assert read_raw(skopeo, ours) == read_raw(skopeo, theirs)
    pulled = lamina.pull_index(theirs, output=f"{tmp_path}/images/")
    assert pulled.digest == pushed.digest


def test_crane_finds_every_digest_of_a_merged_index_right(
    registry: str, crane: RegistryClient, archives: list[Path]
) -> None:
    reference = f"{registry}/indexes/crane:1"
    pushed = lamina.push_index(archives, to=reference)
    assert crane.call("digest", "--insecure", reference).strip() == str(pushed.digest)
    crane.call("validate", "--insecure", "--remote", reference)
    copied = f"{registry}/indexes/crane-copy:1"
    crane.call("copy", "--insecure", reference, copied)
    assert lamina.inspect(copied)[0].indexes[0].digest == pushed.digest
