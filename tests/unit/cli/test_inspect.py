"""``lamina inspect``."""

import json
import re
from pathlib import Path

import pytest
from tests.support.fake_nix_store import example, run
from tests.support.image_files import LayoutBuilder, layer, platform
from tests.support.registry import serve_registry


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Return a layout with an index of two platforms and an attestation, called app:1."""
    builder = LayoutBuilder()
    images = [
        builder.image([layer(name)], config_more={"architecture": name}, platform=platform(name))
        for name in ("amd64", "arm64")
    ]
    images.append(builder.image([b"{}"], platform=platform("unknown", "unknown")))
    text = {"schemaVersion": 2, "manifests": images, "annotations": {"org.example.team": "web"}}
    index = builder.blob(json.dumps(text).encode(), "application/vnd.oci.image.index.v1+json")
    builder.index(index | {"annotations": {"io.containerd.image.name": "docker.io/library/app:1"}})
    builder.write(tmp_path / "layout")
    return tmp_path / "layout"


def test_the_index_comes_before_the_images_of_its_platforms(layout: Path) -> None:
    ran = run("inspect", layout)
    assert (ran.code, ran.stderr) == (0, "")
    index, first, _, second, _ = ran.stdout.decode().split("\n\n")
    assert index.splitlines()[0] == "app:1"
    assert index.splitlines()[2:] == [
        "  platforms     linux/amd64, linux/arm64",
        "  attestations  1",
        "  annotation    org.example.team=web",
    ]
    assert index.splitlines()[1].startswith("  index         sha256:")
    assert [text.splitlines()[2] for text in (first, second)] == ["  platform  linux/amd64", "  platform  linux/arm64"]


def test_the_document_has_the_index_and_the_digests_of_the_manifests(layout: Path) -> None:
    document = json.loads(run("inspect", layout, "--json").stdout)
    (index,) = document["indexes"]
    assert (index["repo_tags"], index["annotations"]) == (["app:1"], {"org.example.team": "web"})
    assert [item["platform"] for item in index["manifests"]] == ["linux/amd64", "linux/arm64", "unknown/unknown"]
    assert [item["digest"] for item in document["images"]] == [item["digest"] for item in index["manifests"][:2]]


def test_the_platform_chooses_one(layout: Path) -> None:
    document = json.loads(run("inspect", layout, "--platform", "arm64", "--json").stdout)
    assert [item["platform"] for item in document["images"]] == ["linux/arm64"]
    assert len(document["indexes"]) == 1


def test_an_index_that_contradicts_an_image_is_a_warning(tmp_path: Path) -> None:
    builder = LayoutBuilder()
    builder.index(builder.nested([builder.image([layer("a")], platform=platform("arm64"))]))
    builder.write(tmp_path / "layout")
    ran = run("inspect", tmp_path / "layout")
    assert ran.code == 0
    assert "the index states linux/arm64, and the config of the image linux/amd64" in ran.stderr


def test_what_is_attached_is_listed_if_it_is_asked_for(tmp_path: Path) -> None:
    store, _ = example(tmp_path / "root")
    with serve_registry() as server:
        name = f"{server.host}/me/app:1"
        assert (
            run("push", "hello", "--store", store.root, "--to", name, "--sbom", "spdx", "--provenance", "-q").code == 0
        )
        lines = run("inspect", "--attached", name).stdout.decode().splitlines()
        types = [line.split()[1] for line in lines if line.startswith("  attached ")]
        assert types == ["application/spdx+json", "application/vnd.in-toto+json"]
        document = json.loads(run("inspect", "--attached", name, "--json").stdout)
        assert [item["kind"] for item in document["attached"]] == ["sbom", "provenance"]
        server.seen.clear()
        assert json.loads(run("inspect", name, "--json").stdout)["attached"] == []
        assert not [seen.path for seen in server.seen if "/referrers/" in seen.path]


def test_an_image_without_documents_says_so_if_it_is_asked(tmp_path: Path) -> None:
    store, _ = example(tmp_path / "root")
    with serve_registry() as server:
        name = f"{server.host}/me/app:1"
        assert run("push", "hello", "--store", store.root, "--to", name, "-q").code == 0
        asked, plain = run("inspect", "--attached", name), run("inspect", name)
    assert re.findall(r"^  attached +(.*)$", asked.stdout.decode(), re.MULTILINE) == ["nothing"]
    assert b"attached" not in plain.stdout


def test_nothing_is_attached_to_a_file(layout: Path) -> None:
    ran = run("inspect", "--attached", layout)
    assert ran.code == 2
    assert "expected a reference" in ran.stderr
