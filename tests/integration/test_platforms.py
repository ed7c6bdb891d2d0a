"""Engines pull an image index of lamina for each platform, and run it; arm64 under qemu, where that is installed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engines import Containerd, Engine, RegistryClient, Skopeo
from tests.integration.tools import find
from tests.support.example_store import CACHE, KEY, hello
from tests.support.oci_schemas import check_oci_document
from tests.support.paths import EXAMPLES

import lamina

SYSTEMS = {"linux/amd64": "x86_64-linux", "linux/arm64": "aarch64-linux"}
PLATFORMS = tuple(SYSTEMS)
GREETING = "Hello, world!\n"


@dataclass(frozen=True, slots=True)
class PushedIndex:
    """An index in a registry, and the ID of its image for each platform."""

    reference: str
    digest: str
    ids: dict[str, str]


def describe(folder: Path) -> dict[str, Any]:
    """Return the arguments of the example for both platforms, whose paths have the same name in a list of a channel."""
    return {
        "contents": ["hello"],
        "platforms": PLATFORMS,
        "channel": str(EXAMPLES / "roots.json"),
        "store": CACHE,
        "trusted_keys": KEY,
        "embedded_store": folder / "store",
        "config": {"Cmd": ["/bin/hello"]},
        "annotations": {"org.opencontainers.image.source": "https://example.org/hello"},
        "tag": "1",
    }


def push(address: str, folder: Path, **arguments: Any) -> PushedIndex:
    reference = f"{address}/platforms/{arguments.get('media_types', 'oci')}:1"
    pushed = lamina.push_image_index(to=reference, **describe(folder) | arguments)
    return PushedIndex(reference, str(pushed.digest), {image.platform: image.id for image in pushed.images})


@pytest.fixture(scope="module", params=["oci", "docker"])
def index(request: pytest.FixtureRequest, registry: str, tmp_path_factory: pytest.TempPathFactory) -> PushedIndex:
    """The index in docker-registry, with the media types of OCI and of docker in turn."""
    more = {} if request.param == "oci" else {"media_types": "docker", "annotations": {}}
    return push(registry, tmp_path_factory.mktemp("push"), **more)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    lamina.build_image_index(output=f"{folder}/layout/", **describe(folder), layer_compression="gzip")
    lamina.build_image_index(output=folder / "x.tar", **describe(folder), layer_compression="gzip", format="oci")
    return folder / "layout"


def choose(platform: str) -> tuple[str, ...]:
    """Return the options with which skopeo takes the image for ``platform``."""
    system, _, architecture = platform.partition("/")
    return ("--override-os", system, "--override-arch", architecture)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_skopeo_finds_the_image_for_each_platform(skopeo: Skopeo, index: PushedIndex, platform: str) -> None:
    name = f"docker://{index.reference}"
    config = skopeo.inspect(name, "--tls-verify=false", "--config", *choose(platform))
    assert f"{config['os']}/{config['architecture']}" == platform
    raw = skopeo.inspect(name, "--tls-verify=false", "--raw")
    check_oci_document(raw["mediaType"], raw)
    assert skopeo.inspect(name, "--tls-verify=false", *choose(platform))["Digest"] == index.digest


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
def test_skopeo_reads_a_layout_and_an_archive_for_each_platform(
    skopeo: Skopeo, layout: Path, transport: str, platform: str, tmp_path: Path
) -> None:
    name = f"{transport}:{layout if transport == 'oci' else layout.parent / 'x.tar'}:1"
    config = skopeo.inspect(name, "--config", *choose(platform))
    assert f"{config['os']}/{config['architecture']}" == platform
    copied = tmp_path / "image.tar"
    skopeo.call("copy", *choose(platform), name, f"docker-archive:{copied}:x:1")
    (image,) = lamina.inspect(copied)
    assert image.platform == platform


def test_what_skopeo_copies_with_all_platforms_has_the_same_digest(
    skopeo: Skopeo, layout: Path, registry: str, tmp_path: Path
) -> None:
    reference = f"{registry}/platforms/copied:1"
    options = ("--all", "--preserve-digests", "--dest-tls-verify=false")
    skopeo.call("copy", *options, f"oci:{layout}:1", f"docker://{reference}")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    raw = skopeo.call("inspect", "--tls-verify=false", "--raw", f"docker://{reference}").stdout
    assert raw.encode() == (layout / "blobs/sha256" / entry["digest"].removeprefix("sha256:")).read_bytes()
    assert [image.platform for image in lamina.inspect(reference)] == list(PLATFORMS)
    again = lamina.push_image_index(to=reference, **describe(tmp_path))
    assert [(str(again.digest), image.blobs_sent) for image in again.images] == [(entry["digest"], 0)] * 2


def run_emulated(engine: Engine, reference: str, *command: str) -> str:
    """Run a program of an arm64 image with qemu, which is copied into the container, and return what it printed.

    The kernel may have no binfmt handler, so qemu is the program that the engine starts.
    """
    qemu = find("qemu-aarch64-static")
    if qemu is None:
        pytest.skip("qemu-aarch64-static is not here; Debian has it in qemu-user-static")
    flags = ("--pull", "never", "--network", "none", "--platform", "linux/arm64", "--entrypoint", "/qemu")
    container = engine.call("create", *flags, reference, *command).stdout.split()[-1]
    try:
        engine.call("cp", qemu, f"{container}:/qemu")
        return engine.call("start", "--attach", container).stdout
    finally:
        engine.call("rm", "--force", container)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_engine_pulls_and_runs_the_image_for_each_platform(
    engine: Engine, index: PushedIndex, platform: str
) -> None:
    with engine.pulled(index.reference, options=("--platform", platform)):
        _check_platform(engine, index, platform)


def _check_platform(engine: Engine, index: PushedIndex, platform: str) -> None:
    if engine.driver != "overlayfs":  # containerd's image store shows another ID, and any platform that it has
        document = engine.inspect(index.reference)
        assert (document["Os"], document["Architecture"]) == tuple(platform.split("/"))
        assert document["Id"].removeprefix("sha256:") == index.ids[platform].removeprefix("sha256:")
    if platform == "linux/arm64":
        assert run_emulated(engine, index.reference, "/bin/hello") == GREETING
    else:
        assert engine.run(index.reference, options=("--platform", platform)).stdout == GREETING


@pytest.mark.parametrize("platform", PLATFORMS)
def test_podman_reads_a_layout_for_each_platform(podman: Engine, layout: Path, platform: str) -> None:
    _, _, architecture = platform.partition("/")
    pulled = podman.call("pull", "--quiet", "--arch", architecture, f"oci:{layout}:1").stdout.split()[-1]
    assert podman.inspect(pulled)["Architecture"] == architecture
    podman.remove(pulled)


def test_containerd_runs_the_image_for_this_machine(containerd: Containerd, index: PushedIndex) -> None:
    containerd.pull(index.reference)
    assert containerd.run(index.reference).stdout == GREETING
    containerd.remove(index.reference)


def test_crane_finds_every_digest_right(crane: RegistryClient, index: PushedIndex) -> None:
    assert crane.call("digest", "--insecure", index.reference).strip() == index.digest
    crane.call("validate", "--insecure", "--remote", index.reference)
    for platform in PLATFORMS:
        config = json.loads(crane.call("config", "--insecure", "--platform", platform, index.reference))
        assert f"{config['os']}/{config['architecture']}" == platform


def test_the_program_of_each_image_is_that_of_its_platform(layout: Path) -> None:
    for image in lamina.inspect(layout):
        paths = [path for layer in image.layers for path in layer.paths if path.package == "hello"]
        assert paths == [hello(SYSTEMS[image.platform])]
