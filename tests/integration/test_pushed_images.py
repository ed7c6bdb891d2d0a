"""Other engines and clients pull, check and run what `lamina push` stored, for each compression of layers."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.closures import Sample
from tests.integration.engines import Containerd, Engine, RegistryClient, Skopeo
from tests.integration.images import machine_store
from tests.integration.tools import ToolError

import lamina

COMPRESSIONS = ("gzip", "zstd", "none")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The message of a program about layers with a compression that it cannot read.

    Attributes:
        program: the kind of engine, or the command of a client.
        compression: the compression of the layers.
        before: the first version that can read them; empty if none can.
        message: a part of the error.
    """

    program: str
    compression: str
    before: tuple[int, ...]
    message: str


REFUSALS = (
    Refusal("docker", "zstd", (23,), "Error processing tar file"),
    Refusal("crane validate", "zstd", (), "gzip: invalid header"),
    Refusal("crane validate", "none", (), "gzip: invalid header"),
)


def find_refusal(program: str, compression: str, version: tuple[int, ...] = ()) -> str:
    """Return what the program says of layers with the compression, or ``""`` if it can read them."""
    for refusal in REFUSALS:
        is_old = not refusal.before or version < refusal.before
        if (refusal.program, refusal.compression) == (program, compression) and is_old:
            return refusal.message
    return ""


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image in a registry."""

    reference: str
    compression: str
    digest: str
    diff_ids: tuple[str, ...]


def _push(address: str, small: Sample, compression: str) -> Pushed:
    reference = f"{address}/pushed/{compression}:1"
    image = lamina.push_layered_image(
        to=reference,
        contents=[small.root],
        store=machine_store(),
        config={"Cmd": ["/bin/hello"]},
        layer_compression=compression,
    )
    diff_ids = tuple(str(layer.diff_id) for layer in image.layers)
    return Pushed(reference, compression, str(image.manifest_digest), diff_ids)


@pytest.fixture(scope="module", params=COMPRESSIONS)
def pushed(request: pytest.FixtureRequest, registry: str, small: Sample) -> Pushed:
    """An image in docker-registry, with each compression in turn."""
    return _push(registry, small, request.param)


def test_an_engine_runs_it_or_refuses_its_compression(engine: Engine, pushed: Pushed) -> None:
    refusal = find_refusal(engine.kind, pushed.compression, engine.version)
    done = engine.pull(pushed.reference, check=False)
    if refusal:
        assert done.returncode != 0
        assert refusal in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert engine.run(pushed.reference).stdout.startswith("good morning")
    inspected = engine.inspect(pushed.reference)
    assert inspected["RootFS"]["Layers"] == list(pushed.diff_ids)
    assert f"{pushed.reference.rpartition(':')[0]}@{pushed.digest}" in inspected["RepoDigests"]
    engine.remove(pushed.reference)


def test_containerd_runs_it(containerd: Containerd, pushed: Pushed) -> None:
    containerd.pull(pushed.reference)
    assert containerd.run(pushed.reference).stdout.startswith("good morning")
    containerd.remove(pushed.reference)


def test_skopeo_copies_it_unchanged(skopeo: Skopeo, pushed: Pushed, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    skopeo.copy(f"docker://{pushed.reference}", f"oci:{layout}:1", "--src-tls-verify=false", "--preserve-digests")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["digest"] == pushed.digest


def validate(crane: RegistryClient, pushed: Pushed) -> None:
    """Let crane read everything and compare all digests, those of uncompressed layers too."""
    assert crane.call("digest", "--insecure", pushed.reference).strip() == pushed.digest
    refusal = find_refusal("crane validate", pushed.compression)
    with pytest.raises(ToolError, match=refusal) if refusal else nullcontext():
        crane.call("validate", "--insecure", "--remote", pushed.reference)


def test_crane_finds_every_digest_right(crane: RegistryClient, pushed: Pushed) -> None:
    validate(crane, pushed)


def test_what_crane_pulls_has_the_same_layers(crane: RegistryClient, pushed: Pushed, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    crane.call("pull", "--insecure", pushed.reference, archive)
    (image,) = lamina.inspect(archive)
    assert tuple(str(layer.diff_id) for layer in image.layers) == pushed.diff_ids


def test_oras_copies_it_unchanged(oras: RegistryClient, pushed: Pushed, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    oras.call("copy", "--from-plain-http", "--to-oci-layout", pushed.reference, f"{layout}:1")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["digest"] == pushed.digest
    (image,) = lamina.inspect(layout)
    assert tuple(str(layer.diff_id) for layer in image.layers) == pushed.diff_ids


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_registry_of_crane_takes_it(
    crane: RegistryClient, skopeo: Skopeo, crane_registry: str, small: Sample, tmp_path: Path, compression: str
) -> None:
    image = _push(crane_registry, small, compression)
    validate(crane, image)
    skopeo.copy(f"docker://{image.reference}", f"oci:{tmp_path / 'layout'}:1", "--src-tls-verify=false")
    pulled = lamina.pull_image(image.reference, output=f"{tmp_path}/pulled/")
    assert str(pulled.image.manifest.descriptor.digest) == image.digest
    assert _push(crane_registry, small, compression) == image
