"""The images of an OCI layout: indexes, nested ones too, names and artifacts that are no images."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import OCI, LayoutBuilder, layer, platform

from lamina.core.nodes import Extent
from lamina.errors import FormatError, IntegrityError
from lamina.images.readers.blobs import Blobs
from lamina.images.readers.members import ArchiveMembers
from lamina.images.readers.oci import read_oci_images
from lamina.images.readers.source_image import SourceImage
from lamina.images.readers.unpack import Unpacker

LAYER = layer("etc/x")


def read_images(layout: LayoutBuilder, folder: Path, **options: Any) -> tuple[SourceImage, ...]:
    file = folder / "archive"
    file.write_bytes(layout.tar())
    extent = Extent.whole(os.fsencode(file), file.stat().st_size, file.stat().st_mtime_ns)
    return read_oci_images(Blobs(ArchiveMembers(extent), Unpacker()), **options)


def test_nested_indexes_give_an_image_for_each_platform(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    variants = [
        layout.image([LAYER], config_more=platform(architecture), platform=platform(architecture))
        for architecture in ("amd64", "arm64")
    ]
    layout.index(layout.nested(variants, annotations={"io.containerd.image.name": "docker.io/me/app:1"}))
    found = read_images(layout, tmp_path)
    assert [image.platform for image in found] == ["linux/amd64", "linux/arm64"]
    assert {image.repo_tags for image in found} == {("me/app:1",)}


@pytest.mark.parametrize(
    ("name", "repo_tags", "tags"),
    [
        ("app:1", ("app:1",), ()),
        ("1.0", (), ("1.0",)),
        ("docker.io/library/app:1", ("app:1",), ()),
        ("A B", (), ("A B",)),
    ],
)
def test_a_reference_is_a_name_or_a_bare_tag(
    tmp_path: Path, name: str, repo_tags: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([LAYER], annotations={"org.opencontainers.image.ref.name": name}))
    (found,) = read_images(layout, tmp_path)
    assert (found.repo_tags, found.tags) == (repo_tags, tags)


def test_an_index_without_images_is_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index()
    assert read_images(layout, tmp_path, allow_empty=True) == ()
    with pytest.raises(FormatError):
        read_images(layout, tmp_path)


def test_an_artifact_is_skipped_beside_an_image(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    artifact = layout.manifest(
        {
            "schemaVersion": 2,
            "config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [layout.blob(b"signature", "application/vnd.dev.cosign.simplesigning.v1+json")],
        }
    )
    layout.index(artifact, layout.image([LAYER]))
    assert len(read_images(layout, tmp_path)) == 1


def test_a_blob_of_another_length_is_an_integrity_error(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([LAYER]) | {"size": 5})
    with pytest.raises(IntegrityError):
        read_images(layout, tmp_path)


@pytest.mark.parametrize(
    "entry",
    [5, {}, {"digest": 5}, {"mediaType": f"{OCI}manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": -1}],
)
def test_an_entry_of_another_shape_is_refused(tmp_path: Path, entry: Any) -> None:
    layout = LayoutBuilder()
    layout.index(entry)
    with pytest.raises(FormatError):
        read_images(layout, tmp_path)


@pytest.mark.parametrize("name", ["app:1", "docker.io/library/app:1", "stable"])
def test_only_the_images_of_a_name_are_read(tmp_path: Path, name: str) -> None:
    layout = LayoutBuilder()
    reference, full = "org.opencontainers.image.ref.name", "io.containerd.image.name"
    wanted = layout.image([LAYER], annotations={full: "docker.io/library/app:1"})
    damaged = layout.image([layer("etc/y")], annotations={full: "docker.io/library/app:2"})
    layout.members[f"blobs/sha256/{damaged['digest'][7:]}"] = b"damaged"
    layout.index(wanted, damaged, wanted | {"annotations": {reference: "stable"}})
    (found,) = read_images(layout, tmp_path, name=name)
    assert (found.repo_tags, found.tags) == (("app:1",), ("stable",))


@pytest.mark.parametrize("name", ["app:3", "latest", "sha256:" + "0" * 64])
def test_all_images_are_read_for_a_name_that_the_index_does_not_have(tmp_path: Path, name: str) -> None:
    layout = LayoutBuilder()
    full = "io.containerd.image.name"
    layout.index(
        *(layout.image([layer(tag)], annotations={full: f"docker.io/library/app:{tag}"}) for tag in ("1", "2"))
    )
    assert len(read_images(layout, tmp_path, name=name)) == 2
