"""``lamina push``: what it prints, and what it takes for an image."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, run
from tests.support.registry import MemoryRegistry, serve_registry

import lamina


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    return example(tmp_path / "root")[0]


def test_stdout_has_a_name_for_each_reference_and_stderr_the_summary(store: FakeStore, server: MemoryRegistry) -> None:
    names = [f"{server.host}/me/app:1", f"docker://{server.host}/me/app:2", f"{server.host}/you/app"]
    ran = run("push", "hello", "--store", store.root, *(word for name in names for word in ("--to", name)))
    digest = lamina.inspect(names[0])[0]
    assert ran.code == 0, ran.stderr
    manifest = next(target for target in server.manifests["me/app"] if target.startswith("sha256:"))
    expected = [f"{server.host}/{name}@{manifest}" for name in ("me/app:1", "me/app:2", "you/app:latest")]
    assert ran.stdout.decode().splitlines() == expected
    *layers, summary = ran.stderr.splitlines()
    count = len(digest.layers)
    assert len(layers) == count
    assert {line.split()[-1] for line in layers} == {"sent"}
    assert summary.startswith(f"{server.host}/me/app:1  {manifest[:19]}  linux/amd64  {count} layers  ")
    assert f"  {count} of {count} blobs sent, " in summary
    again = run("push", "hello", "--store", store.root, *(word for name in names for word in ("--to", name)), "--json")
    assert json.loads(again.stdout)["repo_tags"] == [name.partition("@")[0] for name in expected]
    again = run("push", "hello", "--store", store.root, "--to", names[0])
    assert f"  0 of {count} blobs sent  " in again.stderr.splitlines()[-1]


def test_an_update_is_summed_up(store: FakeStore, server: MemoryRegistry) -> None:
    name = f"{server.host}/me/app:1"
    assert run("push", "hello", "--store", store.root, "--to", name).code == 0
    store.add("more-1", {"more": b"more"})
    ran = run("push", "hello", "more", "--store", store.root, "--to", name)
    assert ran.stderr.splitlines()[-1].startswith(f"update of {name}  ")
    document = json.loads(run("push", "hello", "--store", store.root, "--to", name, "--json").stdout)
    assert document["update"]["sent"]["blob_count"] >= 1
    assert document["repo_tags"] == [name]
    assert document["references"] == [f"{name}@{document['digest']}"]
    assert document["blobs_reused"] == len(document["layers"])


def test_images_for_several_platforms_are_summed_up_with_their_index(store: FakeStore, server: MemoryRegistry) -> None:
    name = f"{server.host}/me/app:1"
    push: list[str | Path] = ["push", "hello", "--store", store.root, "--to", name]
    ran = run(*push, "--platform", "arm64", "--platform", "amd64", "--root", "amd64=words", "-t", "app:2")
    assert ran.code == 0, ran.stderr
    index = next(
        target for target, (_, data) in server.manifests["me/app"].items() if b"manifests" in data and ":" in target
    )
    assert ran.stdout.decode() == f"{name}@{index}\n"
    first, second, last = [line for line in ran.stderr.splitlines() if not line.startswith(("layer", "lamina:"))]
    assert [line.split("  ")[2] for line in (first, second)] == ["linux/arm64", "linux/amd64"]
    assert last.startswith(f"{name}  {index[:19]}  index of 2 images  ")
    assert "lamina: warning: -t app:2 has no effect" in ran.stderr
    document = json.loads(run(*push, "--platform", "arm64", "--platform", "amd64", "--json").stdout)
    assert [image["platform"] for image in document["images"]] == ["linux/arm64", "linux/amd64"]
    assert document["references"] == [f"{name}@{document['digest']}"]
    assert document["repo_tags"] == [name]
    assert document["images"][0]["digest"] != document["digest"]
    assert document["platform"] == "linux/arm64"


def test_one_platform_of_roots_is_that_of_the_image(store: FakeStore, server: MemoryRegistry) -> None:
    name = f"{server.host}/me/app:1"
    assert run("push", "hello", "--store", store.root, "--to", name, "--platform", "arm/v7").code == 0
    (image,) = lamina.inspect(name)
    assert image.platform == "linux/arm/v7"


@pytest.mark.parametrize("words", [("-t", "foo:bar"), ("--tag", "bar")])
def test_a_tag_that_no_name_in_the_registry_has_is_a_warning(
    store: FakeStore, server: MemoryRegistry, words: tuple[str, str]
) -> None:
    push: list[str | Path] = ["push", "hello", "--store", store.root, "--to", f"{server.host}/me/app:1"]
    expected = f"{' '.join(words)} has no effect: an image in a registry has the names that --to gives it"
    assert f"lamina: warning: {expected}" in run(*push, *words).stderr.splitlines()
    assert json.loads(run(*push, *words, "--json").stdout)["warnings"] == [expected]
    assert "no effect" not in run(*push, "-t", "app:1").stderr


def test_a_blob_that_two_layers_have_counts_once(store: FakeStore, server: MemoryRegistry) -> None:
    first, second = f"{server.host}/me/base:1", f"{server.host}/me/app:1"
    push: list[str | Path] = ["push", "--closure", "hello", "--store", store.root, "--architecture", "amd64"]
    assert run(*push, "--to", first).code == 0
    ran = run(*push, "--to", second, "--from-image", first)
    count = len({*(layer["digest"] for layer in json.loads(server.manifests["me/app"]["1"][1])["layers"])})
    assert f"  1 of {count} blobs sent, " in ran.stderr.splitlines()[-1]
    assert f"  {count - 1} mounted  " in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("image", ["x.tar", "x.tar#x:1", "layout/", "layout#x:1", "oci:layout", "oci:layout:1", "REF"])
def test_an_image_that_exists_is_pushed_as_it_is(store: FakeStore, server: MemoryRegistry, image: str) -> None:
    words = ("hello", "--store", store.root, "-t", "x:1")
    assert run("build", *words, "-o", "x.tar").code == 0
    assert run("build", *words, "-o", "layout/").code == 0
    reference = f"{server.host}/me/app:1"
    if image == "REF":
        assert run("push", "x.tar", "--to", reference).code == 0
    ran = run("push", image.replace("REF", reference), "--to", f"{server.host}/you/app:1", "--json")
    assert ran.code == 0, ran.stderr
    (built,) = lamina.inspect("x.tar")
    assert json.loads(ran.stdout)["id"] == built.id


def test_a_name_of_a_package_and_a_folder_of_the_store_are_no_images(store: FakeStore, server: MemoryRegistry) -> None:
    app = store.add("app-1", {"index.json": b"{}", "manifest.json": b"[]"})
    os.symlink(store.location(app), "result")
    for root in ("hello", str(app)):
        ran = run("push", root, "--store", store.root, "--to", f"{server.host}/me/app:1")
        assert ran.code == 0, ran.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.tar", "--env", "A=B"], "--env: got an image that exists, expected ROOTs: store paths or package names"),
        (
            ["x.tar", "--platform", "amd64", "--platform", "arm64"],
            "--platform: got linux/amd64, linux/arm64, for an image that exists, expected one platform",
        ),
        (
            ["hello", "--cache-from", "a/b", "--no-cache-from"],
            "--no-cache-from: got it and --cache-from, expected one of them",
        ),
        (["hello", "--offline"], "offline: got true and a push, expected a push, or no network"),
        (["none.tar"], "none.tar: got No such file or directory, expected an image file"),
    ],
)
def test_what_does_not_go_together_is_refused(
    store: FakeStore, server: MemoryRegistry, words: list[str], message: str
) -> None:
    assert run("build", "hello", "--store", store.root, "-o", "x.tar").code == 0
    store_words = () if words[0].endswith(".tar") else ("--store", store.root)
    ran = run("push", *words, *store_words, "--to", f"{server.host}/me/app:1")
    assert ran.code != 0
    assert ran.error == message
    assert server.manifests == {}


def test_documents_are_attached_and_named(store: FakeStore, server: MemoryRegistry) -> None:
    name = f"{server.host}/me/app:1"
    words = ("push", "hello", "--store", store.root, "--to", name, "--sbom", "spdx", "--provenance")
    ran = run(*words)
    assert ran.code == 0, ran.stderr
    sbom, provenance = ran.stderr.splitlines()[-2:]
    assert sbom.split("  ")[0] == f"sbom of {name}"
    assert provenance.split("  ")[0] == f"provenance of {name}"
    document = json.loads(run(*words, "--json").stdout)
    found = [(item["kind"], item["artifact_type"]) for item in document["attached"]]
    assert found == [("sbom", "application/spdx+json"), ("provenance", "application/vnd.in-toto+json")]
    assert [line.split("  ")[1] for line in (sbom, provenance)] == [
        item["digest"][:19] for item in document["attached"]
    ]


def test_the_bill_of_a_file_takes_its_hashes_from_the_stores(store: FakeStore, server: MemoryRegistry) -> None:
    assert run("build", "hello", "--store", store.root, "-o", "x.tar").code == 0
    target = ("--to", f"{server.host}/me/app:1", "--json")
    known = json.loads(run("push", "x.tar", "--store", store.root, "--sbom", "cyclonedx", *target).stdout)
    unknown = json.loads(run("push", "x.tar", "--sbom", "cyclonedx", *target).stdout)
    assert [item["kind"] for item in (*known["attached"], *unknown["attached"])] == ["sbom", "sbom"]
    assert "no store was named" in unknown["warnings"][0]
    assert "not compared with the layers" in known["warnings"][0]


def test_the_provenance_of_a_file_is_refused_with_a_hint(store: FakeStore, server: MemoryRegistry) -> None:
    assert run("build", "hello", "--store", store.root, "-o", "x.tar").code == 0
    ran = run("push", "x.tar", "--provenance", "--to", f"{server.host}/me/app:1")
    assert ran.code == 2
    assert "expected ROOTs" in ran.stderr
    assert "does not know how an image that exists was made" in ran.stderr
    assert not server.manifests
