"""Indexes of images, in layouts and registries."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import LayoutBuilder, layer, platform
from tests.support.registry import add_image, serve_registry

import lamina
from lamina.formats.platform import Platform
from lamina.images.readers.image_index import ImageIndex, IndexedManifest
from lamina.images.readers.platforms import list_indexes

OCI = "application/vnd.oci.image."
NAME = "io.containerd.image.name"


def add_index(layout: LayoutBuilder, **more: Any) -> dict[str, Any]:
    """Add an index of two platforms and an attestation, and return its descriptor."""
    images = [
        layout.image([layer(name)], config_more={"architecture": name}, platform=platform(name))
        for name in ("amd64", "arm64")
    ]
    attested = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": images[0]["digest"]}
    attestation = layout.image([b"{}"], platform=platform("unknown", "unknown"), annotations=attested)
    return layout.nested([*images, attestation], **more)


def read_indexes(layout: LayoutBuilder, folder: Path) -> tuple[ImageIndex, ...]:
    layout.write(folder)
    return list_indexes(lamina.inspect(folder))


def test_an_index_has_its_names_its_platforms_and_all_that_it_lists(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    described = add_index(
        layout, annotations={NAME: "docker.io/library/app:1", "org.opencontainers.image.ref.name": "1"}
    )
    layout.index(described)
    (index,) = read_indexes(layout, tmp_path)
    assert (str(index.digest), index.repo_tags, index.tags) == (described["digest"], ("app:1",), ("1",))
    assert index.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64"))
    assert [listed.is_attestation for listed in index.manifests] == [False, False, True]
    assert index.manifests[2].annotations["vnd.docker.reference.digest"] == index.manifests[0].digest
    assert repr(index).startswith(f"<ImageIndex app:1 {described['digest'][:19]}")
    assert repr(index).endswith(": linux/amd64, linux/arm64>")


def test_the_table_of_contents_of_a_layout_is_no_index(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([layer("a")], platform=platform("amd64")))
    assert read_indexes(layout, tmp_path) == ()


def test_an_index_with_several_names_has_all_of_them(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    names = ["docker.io/library/app:1", "docker.io/library/app:2"]
    layout.index(*(add_index(layout, annotations={NAME: name}) for name in names))
    (index,) = read_indexes(layout, tmp_path)
    assert index.repo_tags == ("app:1", "app:2")


def test_an_image_in_two_indexes_has_both(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    image = layout.image([layer("a")], platform=platform("amd64"))
    other = layout.image([layer("b")], config_more={"architecture": "arm64"}, platform=platform("arm64"))
    layout.index(
        layout.nested([image], annotations={NAME: "docker.io/library/app:1"}),
        layout.nested([image, other], annotations={NAME: "docker.io/library/app:2"}),
    )
    layout.write(tmp_path)
    one, two = lamina.inspect(tmp_path)
    assert [index.repo_tags for index in one.indexes] == [("app:1",), ("app:2",)]
    assert [index.repo_tags for index in two.indexes] == [("app:2",)]


def test_of_nested_indexes_the_outermost_counts(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    inner = add_index(layout)
    outer = layout.nested([inner], annotations={NAME: "docker.io/library/app:1"})
    layout.index(outer)
    (index,) = read_indexes(layout, tmp_path)
    assert (str(index.digest), index.platforms) == (outer["digest"], ())
    assert [listed.media_type for listed in index.manifests] == [f"{OCI}index.v1+json"]


def test_the_index_of_a_registry_has_the_bytes_and_the_name_of_the_reference() -> None:
    with serve_registry() as registry:
        layout = LayoutBuilder()
        described = add_index(layout)
        add_image(registry, layout, described)
        images = lamina.inspect(f"{registry.host}/me/app:1")
        (index,) = list_indexes(images)
        assert index.document == layout.members[f"blobs/sha256/{described['digest'][7:]}"]
        assert index.repo_tags == (f"{registry.host}/me/app:1",)
        by_digest = lamina.inspect(f"{registry.host}/me/app@{described['digest']}")
        assert list_indexes(by_digest)[0].repo_tags == ()
        add_image(registry, layout, layout.image([layer("alone")]), tag="2")
        assert list_indexes(lamina.inspect(f"{registry.host}/me/app:2")) == ()


@pytest.mark.parametrize("value", [{}, {"mediaType": 1, "digest": None, "size": "x", "platform": [], "annotations": 5}])
def test_an_entry_without_its_fields_is_described_all_the_same(value: dict[str, Any]) -> None:
    found = IndexedManifest.parse(value)
    assert (found.media_type, found.digest, found.size, found.annotations, found.is_attestation) == (
        "",
        "",
        0,
        {},
        False,
    )
