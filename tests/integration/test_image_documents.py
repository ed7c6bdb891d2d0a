"""Other programs read the annotations and both kinds of media types of what lamina wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.closures import Sample
from tests.integration.engines import Containerd, Engine, Skopeo
from tests.integration.images import machine_store
from tests.support.oci_schemas import check_oci_document

import lamina

SOURCE = "org.opencontainers.image.source"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


def push(small: Sample, reference: str, **arguments: Any) -> lamina.RegistryPushResult:
    config = {"Cmd": ["/bin/hello"]}
    return lamina.push_layered_image(
        to=reference, contents=[small.root], store=machine_store(), config=config, **arguments
    )


@pytest.fixture(scope="module")
def docker_typed(registry: str, small: Sample) -> str:
    """An image with docker's media types in docker-registry."""
    push(small, f"{registry}/documents/docker:1", media_types="docker")
    return f"{registry}/documents/docker:1"


def read_raw(skopeo: Skopeo, reference: str) -> dict[str, Any]:
    """Return the manifest as skopeo gets it, which is checked."""
    manifest = skopeo.inspect(reference, "--raw", "--tls-verify=false")
    check_oci_document(manifest["mediaType"], manifest)
    return manifest


def test_skopeo_reads_annotations_from_a_registry_and_a_layout(
    skopeo: Skopeo, registry: str, small: Sample, tmp_path: Path
) -> None:
    base = push(small, f"{registry}/documents/base:1")
    reference = f"{registry}/documents/annotated:1"
    given = {SOURCE: "https://example.org/hello", "org.example.team": "ü"}
    push(small, reference, annotations=given, from_image=f"{registry}/documents/base:1")
    expected = {
        **given,
        "org.opencontainers.image.created": "1970-01-01T00:00:01+00:00",
        "org.opencontainers.image.base.name": f"{registry}/documents/base:1",
        "org.opencontainers.image.base.digest": str(base.manifest_digest),
    }
    assert read_raw(skopeo, f"docker://{reference}")["annotations"] == expected
    lamina.pull_image(reference, output=f"{tmp_path}/pulled/")
    assert read_raw(skopeo, f"oci:{tmp_path}/pulled:1")["annotations"] == expected
    lamina.build_layered_image(
        output=f"{tmp_path}/built/", contents=[small.root], store=machine_store(), tag="1", annotations=given
    )
    assert given.items() <= read_raw(skopeo, f"oci:{tmp_path}/built:1")["annotations"].items()
    skopeo.copy(f"oci:{tmp_path}/built:1", f"docker://{registry}/documents/copied:1", "--dest-tls-verify=false")
    assert given.items() <= lamina.inspect(f"{registry}/documents/copied:1")[0].annotations.items()


def test_skopeo_reads_docker_s_media_types(skopeo: Skopeo, docker_typed: str, tmp_path: Path) -> None:
    manifest = read_raw(skopeo, f"docker://{docker_typed}")
    assert manifest["mediaType"] == DOCKER
    (found,) = lamina.inspect(docker_typed)
    assert manifest["config"]["digest"] == found.id
    skopeo.copy(f"docker://{docker_typed}", f"docker-archive:{tmp_path}/x.tar:x:1", "--src-tls-verify=false")
    assert lamina.inspect(tmp_path / "x.tar")[0].id == found.id


def test_engines_pull_and_run_docker_s_media_types(engine: Engine, docker_typed: str) -> None:
    engine.pull(docker_typed)
    (found,) = lamina.inspect(docker_typed)
    assert engine.inspect(docker_typed)["RootFS"]["Layers"] == [str(layer.diff_id) for layer in found.layers]
    assert engine.run(docker_typed).stdout.startswith("good morning")
    engine.remove(docker_typed)


def test_containerd_pulls_docker_s_media_types(containerd: Containerd, docker_typed: str) -> None:
    containerd.pull(docker_typed)
    assert containerd.run(docker_typed).stdout.startswith("good morning")
    containerd.remove(docker_typed)
