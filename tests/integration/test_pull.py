"""Images that skopeo pushed to Debian's docker-registry keep their digests and documents when lamina pulls them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.integration.engines import Skopeo
from tests.support.fake_nix_store import run
from tests.support.fault_proxy import fail_every, serve_faults
from tests.support.image_files import LayoutBuilder, layer, platform, sha256
from tests.support.registry import QUICK

import lamina
from lamina.transports.retry import use_policy

NAME = "org.opencontainers.image.ref.name"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A layout with ``one``, and with ``all``, an index of two platforms."""
    folder = tmp_path_factory.mktemp("source")
    layout = LayoutBuilder()
    images = [
        layout.image(
            [layer("etc/a"), layer(f"etc/{name}") + bytes(1 << 20)], config_more=platform(name), platform=platform(name)
        )
        for name in ("amd64", "arm64")
    ]
    layout.index({**images[0], "annotations": {NAME: "one"}}, layout.nested(images, annotations={NAME: "all"}))
    layout.write(folder)
    return f"oci:{folder}"


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_the_manifest_and_the_blobs_stay_as_they_are(
    registry: str, skopeo: Skopeo, source: str, form: str, tmp_path: Path
) -> None:
    reference = f"{registry}/pull/{form}:1"
    skopeo.copy(f"{source}:one", f"docker://{reference}", "--dest-tls-verify=false", "--format", form)
    raw = skopeo.call("inspect", "--tls-verify=false", "--raw", f"docker://{reference}").stdout.encode()
    ran = run("pull", reference, "-o", f"{tmp_path}/images/", "--json")
    assert ran.code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["reference"] == f"{registry}/pull/{form}@{sha256(raw)}"
    assert (tmp_path / "images/blobs/sha256" / sha256(raw)[7:]).read_bytes() == raw
    there = skopeo.inspect(f"docker://{reference}", "--tls-verify=false")
    assert [item["digest"] for item in document["layers"]] == there["Layers"]
    (image,) = lamina.inspect(tmp_path / "images")
    assert [str(one.digest) for one in image.layers] == there["Layers"]
    if form == "oci":  # skopeo finds no manifest with docker's media type in a layout
        here = skopeo.inspect(f"oci:{tmp_path}/images:1")
        assert (here["Digest"], here["Layers"]) == (there["Digest"], there["Layers"])


def test_an_archive_has_the_same_config(registry: str, skopeo: Skopeo, source: str, tmp_path: Path) -> None:
    reference = f"{registry}/pull/archive:1"
    skopeo.copy(f"{source}:one", f"docker://{reference}", "--dest-tls-verify=false")
    assert run("pull", f"docker://{reference}", "-o", tmp_path / "one.tar").code == 0
    there = skopeo.inspect(f"docker://{reference}", "--tls-verify=false", "--config")
    assert skopeo.inspect(f"docker-archive:{tmp_path}/one.tar", "--config") == there
    assert lamina.diff(reference, tmp_path / "one.tar").sent.count == 0


def test_each_platform_of_an_index_is_pulled_into_one_layout(
    registry: str, skopeo: Skopeo, source: str, tmp_path: Path
) -> None:
    reference = f"{registry}/pull/all:1"
    skopeo.copy(f"{source}:all", f"docker://{reference}", "--dest-tls-verify=false", "--all")
    inspected = lamina.inspect(reference)
    assert [image.platform for image in inspected] == ["linux/amd64", "linux/arm64"]
    for name in ("amd64", "arm64"):
        lamina.pull_image(reference, output=f"{tmp_path}/images/", platform=name)
    pulled = lamina.inspect(tmp_path / "images")
    assert [image.digest for image in pulled] == [image.digest for image in inspected]
    assert run("inspect", f"{reference}", "--platform", "s390x").code == 4


@pytest.fixture(scope="module")
def stored(registry: str, skopeo: Skopeo, source: str) -> lamina.InspectedImage:
    """The image pull/faults:1 of the registry."""
    skopeo.copy(f"{source}:one", f"docker://{registry}/pull/faults:1", "--dest-tls-verify=false")
    return lamina.inspect(f"{registry}/pull/faults:1")[0]


@pytest.mark.parametrize("seed", range(20))
def test_a_pull_through_faults_ends_right_or_leaves_nothing(
    registry: str, stored: lamina.InspectedImage, seed: int, tmp_path: Path
) -> None:
    with serve_faults(registry, fail_every(2 + seed % 4, seed)) as proxy, use_policy(QUICK):
        proxy.challenge = ""
        for output in (f"{tmp_path}/images/", f"{tmp_path}/one.tar"):
            try:
                pulled = lamina.pull_image(f"{proxy.address}/pull/faults:1", output=output)
            except (lamina.RegistryError, lamina.AuthError):
                assert not list(tmp_path.glob("*.tar"))
                assert not (tmp_path / "images/index.json").exists() or output.endswith("tar")
            else:
                assert pulled.image.digest == stored.digest
                assert lamina.inspect(output)[0].digest == stored.digest
    assert not list(tmp_path.glob("**/*.part"))


def test_a_large_layer_arrives_whole(registry: str, skopeo: Skopeo, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    big = layer("x") + bytes(64 << 20)
    layout.index(
        layout.image([big], compress=lambda data: gzip.compress(data, 1), ending="+gzip", annotations={NAME: "1"})
    )
    layout.write(tmp_path / "big")
    skopeo.copy(f"oci:{tmp_path}/big:1", f"docker://{registry}/pull/big:1", "--dest-tls-verify=false")
    pulled = lamina.pull_image(f"{registry}/pull/big:1", output=tmp_path / "big.tar")
    assert pulled.blobs_fetched == 1
    assert lamina.inspect(tmp_path / "big.tar")[0].layers[0].size == len(big)
