"""A push attaches a bill of materials and the provenance of exactly what is pushed, before a tag names the image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.embedded_store import KEY, ROOT
from tests.support.fake_nix_store import FakeStore, example
from tests.support.oci_schemas import check_artifact
from tests.support.paths import EXAMPLES
from tests.support.provenance import get_parameters, list_materials, read_statement
from tests.support.registry import QUICK, MemoryRegistry, answer_with, serve_registry
from tests.support.sbom import read_cyclonedx, read_spdx

import lamina
from lamina.errors import InvalidArgument, RegistryError
from lamina.images.writers.push_result import RegistryPushResult
from lamina.transports.retry import use_policy

PREDICATE = "in-toto.io/predicate-type"
SIGNED: dict[str, Any] = {"contents": [ROOT], "store": f"file://{EXAMPLES}/cache", "trusted_keys": [KEY]}


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture(params=[True, False], ids=["api", "tag"])
def server(request: pytest.FixtureRequest) -> Iterator[MemoryRegistry]:
    with serve_registry() as server, use_policy(QUICK):
        server.has_referrers = request.param
        yield server


def describe(store: FakeStore) -> dict[str, Any]:
    return {"contents": ["hello"], "store": str(store.root), "architecture": "amd64"}


def push(server: MemoryRegistry, name: str = "me/app:1", **arguments: Any) -> RegistryPushResult:
    return lamina.push_layered_image(to=f"{server.host}/{name}", **arguments)


def read_document(server: MemoryRegistry, pushed: RegistryPushResult, number: int = 0, name: str = "me/app") -> bytes:
    """Return a document that was attached, after checking the manifest that attaches it."""
    manifest = json.loads(server.manifests[name][str(pushed.attached[number].digest)][1])
    check_artifact(manifest)
    assert manifest["subject"]["digest"] == str(pushed.manifest_digest)
    return server.blobs[name][manifest["layers"][0]["digest"]]


def list_paths(pushed: RegistryPushResult) -> set[str]:
    return {str(path) for layer in pushed.layers for path in layer.paths}


def test_a_bill_of_materials_lists_the_store_paths_in_the_layers(server: MemoryRegistry, store: FakeStore) -> None:
    pushed = push(server, **describe(store), sbom="cyclonedx", created="@86400")
    bom = read_cyclonedx(read_document(server, pushed))
    assert {item.bom_ref.value for item in bom.components} == list_paths(pushed)
    assert all(item.hashes for item in bom.components)
    subject = bom.metadata.component
    assert subject
    assert (subject.name, subject.version) == (f"{server.host}/me/app", str(pushed.manifest_digest))
    assert [item.value for item in subject.properties] == [pushed.id]
    assert str(bom.metadata.timestamp) == "1970-01-02 00:00:00+00:00"
    (attached,) = pushed.attached
    assert (attached.kind, attached.artifact_type) == ("sbom", "application/vnd.cyclonedx+json")
    assert dict(attached.descriptor.annotations)["org.opencontainers.image.created"] == "1970-01-02T00:00:00+00:00"


def test_spdx_is_attached_beside_cyclonedx_and_nothing_is_attached_twice(
    server: MemoryRegistry, store: FakeStore
) -> None:
    first = push(server, **describe(store), sbom="spdx", provenance=True)
    second = push(server, **describe(store), sbom="cyclonedx")
    stored = dict(server.manifests["me/app"])
    names = {package.name for package in read_spdx(read_document(server, first)).packages}
    assert {"hello", "sh"} <= names
    again = push(server, **describe(store), sbom="spdx", provenance=True)
    other_tag = push(server, "me/app:2", **describe(store), sbom="spdx", provenance=True)
    assert again.attached == first.attached == other_tag.attached
    stored["2"] = stored["1"]
    assert server.manifests["me/app"] == stored
    assert second.attached != first.attached


def test_the_tag_moves_after_the_documents_are_attached(server: MemoryRegistry, store: FakeStore) -> None:
    push(server, **describe(store), sbom="spdx", provenance=True)
    written = [
        seen.path.rpartition("/")[2] for seen in server.seen if seen.method == "PUT" and "/manifests/" in seen.path
    ]
    image = str(lamina.inspect(f"{server.host}/me/app:1")[0].manifest_digest)
    assert (written[0], written[-1]) == (image, "1")
    assert written.count("1") == 1


@pytest.mark.parametrize("part", ["manifests/sha256:", "blobs/uploads/"])
def test_the_tag_stays_if_a_document_cannot_be_attached(store: FakeStore, part: str) -> None:
    with serve_registry() as server, use_policy(QUICK):
        first = push(server, **describe(store))
        store.add("more-1", {"more": b"more"})
        changed = {**describe(store), "contents": ["hello", "more"]}
        push(server, "me/app:other", **changed)  # so that only what is attached is sent
        server.fail("PUT", part, answer_with(400, {}, b'{"errors": [{"code": "NO", "message": "no"}]}'), times=99)
        with pytest.raises(RegistryError, match="NO: no"):
            push(server, **changed, sbom="spdx")
        tagged = lamina.inspect(f"{server.host}/me/app:1")[0].manifest_digest
    assert tagged == first.manifest_digest


def test_each_repository_gets_the_documents(server: MemoryRegistry, store: FakeStore) -> None:
    names = [f"{server.host}/{name}" for name in ("me/app:1", "you/app:1", "me/app:2")]
    pushed = lamina.push_layered_image(to=names, **describe(store), provenance=True)
    statement = read_statement(read_document(server, pushed))
    assert [item["name"] for item in statement["subject"]] == [f"{server.host}/me/app", f"{server.host}/you/app"]
    assert read_document(server, pushed, name="you/app") == read_document(server, pushed)


def test_each_image_of_an_index_gets_its_documents_before_the_index_has_a_tag(server: MemoryRegistry) -> None:
    roots = json.loads((EXAMPLES / "roots.json").read_text())
    platforms = {"linux/amd64": roots["x86_64-linux"], "linux/arm64": roots["aarch64-linux"]}
    pushed = lamina.push_image_index(
        to=f"{server.host}/me/app:1",
        platforms=list(platforms),
        roots=platforms,
        store=SIGNED["store"],
        trusted_keys=KEY,
        sbom="cyclonedx",
        provenance=True,
    )
    for image, (platform, root) in zip(pushed.images, platforms.items(), strict=True):
        bom = read_cyclonedx(read_document(server, image))
        assert {item.bom_ref.value for item in bom.components} == list_paths(image)
        statement = read_statement(read_document(server, image, 1))
        assert statement["subject"][0]["digest"] == {"sha256": image.manifest_digest.hex}
        parameters = get_parameters(statement)
        assert (parameters["platform"], parameters["contents"]) == (platform, [root])
        assert list_materials(statement).keys() == list_paths(image)
    puts = [seen.path.rpartition("/")[2] for seen in server.seen if seen.method == "PUT" and "/manifests/" in seen.path]
    assert puts[-1] == "1"
    listed = lamina.inspect(f"{server.host}/me/app:1", attached=True)
    assert [image.attached for image in listed] == [image.attached for image in pushed.images]


def test_the_provenance_names_the_store_paths_and_who_signed_them(server: MemoryRegistry) -> None:
    pushed = push(server, **SIGNED, provenance=True)
    statement = read_statement(read_document(server, pushed))
    assert statement["subject"][0]["digest"] == {"sha256": pushed.manifest_digest.hex}
    materials = list_materials(statement)
    assert set(materials) == list_paths(pushed)
    with lamina.open_store(store=SIGNED["store"], trusted_keys=KEY) as opened:
        closure = lamina.Closure.resolve([lamina.StorePath.parse(ROOT)], opened.query)
    for info in closure:
        material = materials[str(info.path)]
        assert material["digest"] == {"sha256": info.nar_hash.hex}
        assert material["annotations"]["signedBy"] == [KEY.partition(":")[0]]
        assert "unverifiedKeys" not in material["annotations"]
    assert dict(pushed.attached[0].descriptor.annotations)[PREDICATE] == "https://slsa.dev/provenance/v1"


def test_a_key_that_is_not_trusted_is_named_apart(server: MemoryRegistry) -> None:
    accepted = {**SIGNED, "trusted_keys": [], "verify_signatures": False}
    statement = read_statement(read_document(server, push(server, **accepted, provenance=True)))
    for material in list_materials(statement).values():
        assert material["annotations"]["signedBy"] == []
        assert material["annotations"]["unverifiedKeys"] == [KEY.partition(":")[0]]


def test_the_provenance_says_what_was_asked_for_without_paths_and_secrets(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    (tmp_path / "layering.json").write_text('[["popularity_contest"], ["limit_layers", 7]]')
    (tmp_path / "secret.txt").write_text("hunter2")
    (tmp_path / "result").symlink_to(store.root / "nix/store")
    pushed = push(
        server,
        **describe(store),
        provenance=True,
        closure="words",
        layering=tmp_path / "layering.json",
        layer_cache=tmp_path / "cache",
        tree=[lamina.File("/etc/secret", str(tmp_path / "secret.txt"))],
        extra_commands="echo hunter2 >/dev/null",
        sandbox=False,
        search_path="/usr/bin:/bin",
        config={"Env": ["TOKEN=hunter2"]},
        uid=5,
    )
    document = read_document(server, pushed)
    parameters = get_parameters(read_statement(document))
    assert parameters["layeringPipeline"] == [["popularity_contest"], ["limit_layers", 7]]
    (content,) = parameters["contents"]
    assert content.endswith("-hello-2.12.1")
    assert [path.rpartition("/")[2][33:] for path in parameters["closure"]] == ["words-2.1-data"]
    assert parameters["owner"]["uid"] == 5
    assert parameters["hasDeclaredEntries"] is True
    assert list(parameters["scripts"]) == ["extraCommands"]
    assert str(tmp_path).encode() not in document
    assert b"hunter2" not in document


def test_the_provenance_has_the_store_paths_of_a_pipeline_and_not_its_links(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    hello = next(str(path) for path in store.numbers if path.package == "hello")
    (tmp_path / "result").symlink_to(hello)
    links = [str(tmp_path / "result"), str(tmp_path / "missing"), {"children_of": str(tmp_path / "result")}]
    (tmp_path / "layering.json").write_text(json.dumps([["split_paths", links]]))
    pushed = push(server, **describe(store), provenance=True, layering=tmp_path / "layering.json")
    document = read_document(server, pushed)
    pipeline = get_parameters(read_statement(document))["layeringPipeline"]
    assert pipeline == [["split_paths", [hello, "missing", {"children_of": hello}]]]
    assert str(tmp_path).encode() not in document


def test_the_provenance_names_the_image_whose_layers_are_kept_without_its_folder(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    earlier = tmp_path / "app.tar"
    lamina.build_layered_image(output=earlier, **describe(store))
    reference = f"{server.host}/me/app:1"
    for image, expected in ((earlier, "pinned:app.tar"), (reference, f"pinned:{reference}")):
        pushed = push(server, **describe(store), provenance=True, layering=f"pinned:{image}")
        document = read_document(server, pushed)
        assert get_parameters(read_statement(document))["layeringPipeline"] == expected
        assert str(tmp_path).encode() not in document


@pytest.mark.parametrize("kind", ["file", "layout", "registry"])
def test_the_base_image_is_a_material_and_its_store_paths_are_listed(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path, kind: str
) -> None:
    base = {"file": str(tmp_path / "base.tar"), "layout": f"{tmp_path}/base/"}.get(kind, f"{server.host}/base:1")
    if kind == "registry":
        digest = push(server, "base:1", **describe(store)).manifest_digest
    else:
        lamina.build_layered_image(output=base, name="base", tag="1", **describe(store))
        (image,) = lamina.inspect(base)
        digest = image.manifest_digest or image.digest
    store.add("app-1", {"app": b"app"})
    more = {**describe(store), "contents": ["app"], "from_image": base}
    pushed = push(server, **more, provenance=True, sbom="cyclonedx")
    first, *others = list_materials(read_statement(read_document(server, pushed, 1))).values()
    assert first["digest"] == {"sha256": digest.hex}
    assert first["name"] == (f"{server.host}/base:1" if kind == "registry" else "docker.io/library/base:1")
    assert ("uri" in first) == (kind == "registry")
    assert first["mediaType"].startswith(
        "application/vnd.docker.container" if kind == "file" else "application/vnd.oci"
    )
    assert [item["name"][44:] for item in others] == ["app-1"]
    components = {item.name for item in read_cyclonedx(read_document(server, pushed)).components}
    assert components == {"app", "hello", "libgreet", "sh", "words"}


def test_a_base_image_without_store_paths_is_a_warning_about_the_bill(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    lamina.build_layered_image(output=tmp_path / "base.tar", name="base", tree=[lamina.Dir("/a")], architecture="amd64")
    pushed = push(server, **describe(store), from_image=tmp_path / "base.tar", sbom="spdx")
    (warning,) = pushed.warnings
    assert warning.startswith("sbom: 1 of ")


def test_the_bill_of_an_image_that_exists_has_what_the_stores_know(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    built = lamina.build_layered_image(output=f"{tmp_path}/x/", name="x", **describe(store))
    known = lamina.push_image(tmp_path / "x", to=f"{server.host}/me/app:1", sbom="cyclonedx", store=str(store.root))
    bom = read_cyclonedx(read_document(server, known))
    assert {item.bom_ref.value for item in bom.components} == {str(p) for layer in built.layers for p in layer.paths}
    assert all(item.hashes for item in bom.components)
    assert [warning for warning in known.warnings if "not compared with the layers" in warning]
    copied = lamina.push_image(f"{server.host}/me/app:1", to=f"{server.host}/you/app:1", sbom="spdx")
    document = read_spdx(read_document(server, copied, name="you/app"))
    assert not any(package.checksums for package in document.packages)
    assert [warning for warning in copied.warnings if "no store was named" in warning]


def test_how_an_image_that_exists_was_made_is_not_known() -> None:
    with pytest.raises(InvalidArgument, match=r"^provenance: got true and x.tar, expected ROOTs") as caught:
        lamina.push_image("x.tar", to="localhost:1/x", provenance=True)
    assert "does not know how" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sbom": "xml"}, "^sbom: got 'xml', expected one of cyclonedx, spdx"),
        ({"provenance": "yes"}, "^provenance: got 'yes', expected"),
        ({"store": "/"}, "^store: got an image that exists, and no sbom, expected both"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        lamina.push_image("missing.tar", to="localhost:1/x", **arguments)


@pytest.mark.parametrize("arguments", [{"sbom": "xml"}, {"provenance": 3}])
def test_wrong_arguments_of_a_new_image_are_refused(store: FakeStore, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"^(sbom|provenance): got "):
        lamina.push_layered_image(to="localhost:1/x", **describe(store), **arguments)
