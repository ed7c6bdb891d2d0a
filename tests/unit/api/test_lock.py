"""Pinning the base images of spec files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, layer, platform
from tests.support.registry import QUICK, MemoryRegistry, add_image, answer_with, serve_registry

import lamina
from lamina.errors import AuthError, InputError, IntegrityError, InvalidArgument, RegistryError
from lamina.formats.pinned_images import PinnedImages
from lamina.transports.retry import use_policy


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """Return a registry with base/one:1, and base/all:1 for two platforms; ``lamina.toml`` names both."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.chdir(tmp_path)
    with serve_registry() as server, use_policy(QUICK):
        move_tag(server, "first")
        layout = LayoutBuilder()
        images = [
            layout.image([layer(name)], config_more=platform(name), platform=platform(name))
            for name in ("amd64", "arm64")
        ]
        add_image(server, layout, layout.nested(images), "base/all")
        write_spec(server, "base/one:1", "base/all:1")
        yield server


def move_tag(registry: MemoryRegistry, content: str) -> str:
    """Point base/one:1 to an image with ``content``, and return its digest."""
    layout = LayoutBuilder()
    return str(add_image(registry, layout, layout.image([layer(content)]), "base/one"))


def write_spec(registry: MemoryRegistry, *names: str, file: str = "lamina.toml") -> None:
    tables = [f'[image{number}]\nfromImage = "{registry.host}/{name}"\n' for number, name in enumerate(names)]
    Path(file).write_text("".join(tables))


def list_changes(result: lamina.LockResult) -> dict[str, str]:
    return {f"{image.reference.repository}:{image.reference.tag}": image.change for image in result.images}


def read_lock() -> PinnedImages:
    return PinnedImages.parse(Path("lamina.lock").read_bytes(), "lamina.lock")


def test_the_digests_of_manifests_and_indexes_are_pinned(registry: MemoryRegistry) -> None:
    result = lamina.lock_images("lamina.toml")
    assert (result.file, result.is_changed) == ("lamina.lock", True)
    assert list_changes(result) == {"base/all:1": "added", "base/one:1": "added"}
    for image in read_lock().images:
        assert str(image.digest) in registry.manifests[image.reference.repository]


def test_what_did_not_move_is_kept_and_the_file_is_not_touched(registry: MemoryRegistry) -> None:
    lamina.lock_images("lamina.toml")
    before = os.stat("lamina.lock")
    registry.seen.clear()
    result = lamina.lock_images("lamina.toml")
    assert not result.is_changed
    assert set(list_changes(result).values()) == {"kept"}
    assert os.stat("lamina.lock").st_ino == before.st_ino
    assert {request.method for request in registry.seen if "manifests" in request.path} == {"HEAD"}


def test_a_tag_that_moved_is_updated_and_what_no_spec_file_names_is_removed(registry: MemoryRegistry) -> None:
    old = lamina.lock_images("lamina.toml").images[1].digest
    new = move_tag(registry, "second")
    write_spec(registry, "base/one:1")
    result = lamina.lock_images("lamina.toml")
    assert list_changes(result) == {"base/all:1": "removed", "base/one:1": "updated"}
    assert (str(result.images[1].digest), result.images[1].previous) == (new, old)
    assert [str(image.digest) for image in read_lock().images] == [new]


def test_a_check_writes_nothing(registry: MemoryRegistry) -> None:
    assert lamina.lock_images("lamina.toml", check=True).is_changed
    assert not os.path.exists("lamina.lock")


def test_files_and_references_with_a_digest_need_no_entry(registry: MemoryRegistry) -> None:
    digest = move_tag(registry, "second")
    Path("base").mkdir()
    Path("lamina.toml").write_text(
        f'[a]\nfrom_image = "{registry.host}/base/one:1@{digest}"\n[b]\nfrom_image = "base"\n[c]\nname = "c"\n'
    )
    assert lamina.lock_images("lamina.toml").images == ()
    assert read_lock() == PinnedImages(())
    assert not registry.seen


def test_spec_files_of_one_folder_share_the_lock_file(registry: MemoryRegistry) -> None:
    write_spec(registry, "base/one:1", file="a.toml")
    write_spec(registry, "base/all:1", "base/one:1", file="b.toml")
    result = lamina.lock_images(["a.toml", "b.toml"])
    assert list_changes(result) == {"base/all:1": "added", "base/one:1": "added"}


def test_a_damaged_lock_file_is_replaced_with_a_warning(registry: MemoryRegistry) -> None:
    Path("lamina.lock").write_text("<<<<<<< HEAD\nversion = 1\n")
    result = lamina.lock_images("lamina.toml")
    assert "its entries are not used" in result.warnings[0]
    assert len(read_lock().images) == 2


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [(404, RegistryError, "base/all:1: got no such image"), (403, AuthError, "403"), (418, RegistryError, "418")],
)
def test_nothing_is_written_if_a_registry_fails(
    registry: MemoryRegistry, status: int, kind: type[lamina.Error], message: str
) -> None:
    registry.fail("HEAD", "/base/all/manifests/", answer_with(status), times=9)
    with pytest.raises(kind, match=message):
        lamina.lock_images("lamina.toml")
    assert not os.path.exists("lamina.lock")


def test_a_digest_that_is_not_that_of_the_manifest_is_not_written(registry: MemoryRegistry) -> None:
    write_spec(registry, "base/one:1")
    digest = lamina.lock_images("lamina.toml", check=True).images[0].digest
    media_type, _ = registry.manifests["base/one"]["1"]
    registry.manifests["base/one"][str(digest)] = media_type, b"{}"
    with pytest.raises(IntegrityError, match=str(digest)):
        lamina.lock_images("lamina.toml")
    registry.states_wrong_digests = True
    with pytest.raises(RegistryError, match=r"base/one:1@sha256:0+: got no such image"):
        lamina.lock_images("lamina.toml")
    assert not os.path.exists("lamina.lock")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("lamina.toml#image0", "lamina.toml: got the image 'image0' of it, expected a whole spec file"),
        (["lamina.toml", "more/x.toml"], "spec_file: got spec files in 2 folders, expected those of one"),
        ([], "spec_file: got none, expected the name of a spec file"),
    ],
)
def test_other_arguments_are_refused(registry: MemoryRegistry, files: str | list[str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        lamina.lock_images(files)


def test_errors_in_a_spec_file_name_its_table(registry: MemoryRegistry) -> None:
    Path("lamina.toml").write_text('[a]\nfrom_image = "debian:12"\n[b]\nfrom_image = "docker://DEBIAN"\n')
    with pytest.raises(InvalidArgument, match=r"lamina\.toml#b: image reference: got 'docker://DEBIAN'"):
        lamina.lock_images("lamina.toml")
    with pytest.raises(InputError, match=r"missing\.toml: got No such file"):
        lamina.lock_images("missing.toml")
