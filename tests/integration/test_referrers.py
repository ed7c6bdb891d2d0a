"""Documents that `lamina push` attaches, as oras finds and fetches them.

docker-registry and crane's registry have no referrers API. The registry of the tests has it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closures import Nix, Sample
from tests.integration.engines import RegistryClient, Skopeo
from tests.integration.images import machine_store
from tests.support.provenance import list_materials, read_statement
from tests.support.registry import serve_registry
from tests.support.sbom import read_cyclonedx, read_spdx

import lamina
from lamina.images.writers.push_result import RegistryPushResult

_FILES = {"sbom.cdx.json": read_cyclonedx, "sbom.spdx.json": read_spdx, "provenance.intoto.json": read_statement}


def push(address: str, sample: Sample, name: str, **arguments: Any) -> RegistryPushResult:
    return lamina.push_layered_image(
        to=f"{address}/{name}", contents=[sample.root], store=machine_store(), name="x", **arguments
    )


def discover(oras: RegistryClient, reference: str) -> list[dict[str, Any]]:
    """Return what oras lists."""
    found = json.loads(oras.call("discover", "--plain-http", "--format", "json", reference))
    listed: list[dict[str, Any]] = found["referrers"]
    return listed


@pytest.fixture
def registry_with_api() -> Iterator[str]:
    """The address of a registry with the referrers API. No list is stored under a tag in it."""
    with serve_registry() as server:
        yield server.host
        assert not [tag for tag in server.manifests["attached/small"] if tag.startswith("sha256-")]
        assert [seen for seen in server.seen if "/referrers/" in seen.path]


@pytest.mark.parametrize("place", ["registry", "crane_registry", "registry_with_api"])
def test_oras_lists_and_fetches_the_documents_and_a_repeated_push_adds_none(
    request: pytest.FixtureRequest, oras: RegistryClient, small: Sample, place: str, tmp_path: Path
) -> None:
    address = request.getfixturevalue(place)
    name = "attached/small:1"
    first = push(address, small, name, sbom="cyclonedx", provenance=True)
    spdx = push(address, small, name, sbom="spdx")
    for _ in range(2):
        again = push(address, small, name, sbom="cyclonedx", provenance=True)
        assert again.attached == first.attached
    listed = discover(oras, f"{address}/{name}")
    expected = [*first.attached, *spdx.attached]
    assert [item["digest"] for item in listed] == [str(referrer.digest) for referrer in expected]
    assert [item["artifactType"] for item in listed] == [referrer.artifact_type for referrer in expected]
    for item in listed:
        oras.call("pull", "--plain-http", item["reference"], "-o", tmp_path)
    found = {file.name: _FILES[file.name](file.read_bytes()) for file in tmp_path.iterdir()}
    assert found.keys() == _FILES.keys()
    assert {item.bom_ref.value for item in found["sbom.cdx.json"].components} == set(small.paths)  # type: ignore[attr-defined]
    statement = found["provenance.intoto.json"]
    assert isinstance(statement, dict)
    assert statement["subject"][0]["digest"] == {"sha256": first.manifest_digest.hex}
    assert list_materials(statement).keys() == set(small.paths)


def test_the_materials_have_the_hashes_that_nix_computes(
    registry: str, nix: Nix, small: Sample, oras: RegistryClient, tmp_path: Path
) -> None:
    pushed = push(registry, small, "attached/hashes:1", provenance=True)
    oras.call("pull", "--plain-http", f"{registry}/attached/hashes@{pushed.attached[0].digest}", "-o", tmp_path)
    materials = list_materials(read_statement((tmp_path / "provenance.intoto.json").read_bytes()))
    hashes = {name: material["digest"]["sha256"] for name, material in materials.items()}
    assert hashes == {path: nix.hash(path) for path in small.paths}


def test_documents_of_lamina_and_of_oras_stay_beside_each_other(
    registry: str, small: Sample, oras: RegistryClient, tmp_path: Path
) -> None:
    reference = f"{registry}/attached/both:1"
    push(registry, small, "attached/both:1")
    (tmp_path / "note.txt").write_text("a note\n")
    attach = ("attach", "--plain-http", "--disable-path-validation", "--artifact-type", "application/spdx+json")
    oras.call(*attach, reference, f"{tmp_path}/note.txt")
    push(registry, small, "attached/both:1", sbom="spdx")
    oras.call(*attach, "--annotation", "a=b", reference, f"{tmp_path}/note.txt")
    push(registry, small, "attached/both:1", sbom="spdx", created="@86400")  # another image
    push(registry, small, "attached/both:1", sbom="spdx", provenance=True)
    listed = discover(oras, reference)
    assert [item["annotations"].get("lamina.document") for item in listed] == [None, "sbom", None, "provenance"]


def test_the_image_stays_as_it_is(registry: str, small: Sample, skopeo: Skopeo) -> None:
    plain = push(registry, small, "attached/plain:1")
    attached = push(registry, small, "attached/documents:1", sbom="spdx", provenance=True)
    assert attached.manifest_digest == plain.manifest_digest
    shown = skopeo.inspect(f"docker://{registry}/attached/documents:1", "--tls-verify=false")
    assert shown["Digest"] == str(plain.manifest_digest)
    assert f"sha256-{plain.manifest_digest.hex}" in shown["RepoTags"]


def test_pushes_at_once_leave_a_list_that_the_next_push_completes(
    registry: str, small: Sample, oras: RegistryClient
) -> None:
    push(registry, small, "attached/race:1")
    barrier = threading.Barrier(3)

    def attach(arguments: dict[str, Any]) -> RegistryPushResult:
        barrier.wait()
        return push(registry, small, "attached/race:1", **arguments)

    wanted: list[dict[str, Any]] = [{"sbom": "spdx"}, {"sbom": "cyclonedx"}, {"provenance": True}]
    with ThreadPoolExecutor(3) as pool:
        pushed = list(pool.map(attach, wanted))
    digests = sorted(str(result.attached[0].digest) for result in pushed)
    raced = [item["digest"] for item in discover(oras, f"{registry}/attached/race:1")]
    assert set(raced) <= set(digests)
    assert raced
    for arguments in wanted:
        push(registry, small, "attached/race:1", **arguments)
    assert sorted(item["digest"] for item in discover(oras, f"{registry}/attached/race:1")) == digests
