"""All that an index lists, for a copy of it."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import OCI, LayoutBuilder, platform
from tests.support.indexes import add_attestation, add_index, add_platform, add_whole_index

import lamina
from lamina.core.names import Digest
from lamina.errors import FormatError, IntegrityError
from lamina.images.readers import index_contents
from lamina.images.readers.image_index import ImageIndex
from lamina.images.readers.index_contents import read_contents


def read_index(layout: LayoutBuilder, entry: dict[str, Any], folder: Path) -> ImageIndex:
    """Return an index of a layout that also has an image which can be read."""
    layout.index(entry)
    layout.write(folder)
    return lamina.inspect(folder)[0].indexes[0]


def test_everything_that_an_index_lists_is_found_with_its_blobs(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    index = read_index(layout, add_whole_index(layout), tmp_path)
    found = read_contents(index, "app:1")
    assert [str(item.descriptor.digest) for item in found] == [listed.digest for listed in index.manifests]
    assert [len(item.blobs) for item in found] == [3, 3, 2]
    for item in found:
        assert item.document == layout.members[f"blobs/sha256/{item.descriptor.digest.hex}"]
        for blob in item.blobs:
            data = layout.members[f"blobs/sha256/{blob.descriptor.digest.hex}"]
            assert b"".join(blob.open(0)) == data
    known = [Digest.parse_oci(listed.digest) for listed in index.manifests[:2]]
    assert [item.descriptor for item in read_contents(index, "app:1", known)] == [found[2].descriptor]


def test_an_index_in_an_index_comes_after_what_it_lists(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    image = add_platform(layout, "amd64")
    inner = add_index(layout, [image])
    index = read_index(layout, layout.nested([inner, image]), tmp_path)
    assert [str(item.descriptor.digest) for item in read_contents(index, "app:1")] == [image["digest"], inner["digest"]]


def test_indexes_that_are_nested_too_deep_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = LayoutBuilder()
    index = read_index(layout, layout.nested([layout.nested([add_platform(layout, "amd64")])]), tmp_path)
    assert len(read_contents(index, "app:1")) == 2
    monkeypatch.setattr(index_contents, "MAX_NESTING", 1)
    with pytest.raises(FormatError, match="app:1: got indexes in indexes, expected at most 1 levels"):
        read_contents(index, "app:1")


def test_an_index_may_list_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = LayoutBuilder()
    index = read_index(layout, add_whole_index(layout), tmp_path)
    monkeypatch.setattr(index_contents, "MAX_DESCRIPTORS", 2)
    with pytest.raises(FormatError, match="got more than 2 manifests"):
        read_contents(index, "app:1")


def test_a_manifest_that_is_missing_is_named_by_its_platform(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    missing = add_platform(layout, "arm64")
    entry = add_index(layout, [add_platform(layout, "amd64"), missing])
    del layout.members[f"blobs/sha256/{missing['digest'][7:]}"]
    index = read_index(layout, entry, tmp_path)
    with pytest.raises(
        FormatError, match=f"app:1: got an index that lists linux/arm64, but no manifest {missing['digest']}"
    ):
        read_contents(index, "app:1")


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    other = layout.blob(b"text", "text/plain")
    index = read_index(layout, add_index(layout, [add_platform(layout, "amd64"), other]), tmp_path)
    with pytest.raises(FormatError, match="got the media type 'text/plain', expected that of a manifest or an index"):
        read_contents(index, "app:1")


def test_a_blob_of_an_attestation_may_not_be_missing(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    image = add_platform(layout, "amd64")
    entry = add_index(layout, [image, add_attestation(layout, image)])
    statement = next(name for name, data in layout.members.items() if isinstance(data, bytes) and b'"subject"' in data)
    del layout.members[statement]
    index = read_index(layout, entry, tmp_path)
    with pytest.raises(FormatError, match=f"no blob sha256:{statement.rpartition('/')[2]}"):
        read_contents(index, "app:1")


def test_a_layer_that_may_not_be_distributed_may_be_missing(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    foreign = {"mediaType": f"{OCI}layer.nondistributable.v1.tar+gzip", "digest": f"sha256:{'1' * 64}", "size": 5}
    config = layout.blob(b"{}", "application/vnd.example+json")
    artifact = layout.manifest({"config": config, "layers": [foreign]}, platform=platform("amd64", "windows"))
    index = read_index(layout, add_index(layout, [add_platform(layout, "amd64"), artifact]), tmp_path)
    assert [len(item.blobs) for item in read_contents(index, "app:1")] == [3, 1]


def test_a_damaged_blob_is_found_when_it_is_read(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    image = add_platform(layout, "amd64")
    index = read_index(layout, add_index(layout, [image, add_attestation(layout, image)]), tmp_path)
    attestation = read_contents(index, "app:1")[1]
    file = tmp_path / f"blobs/sha256/{attestation.blobs[1].descriptor.digest.hex}"
    file.write_bytes(bytes(file.stat().st_size))
    again = lamina.inspect(tmp_path)[0].indexes[0]
    with pytest.raises(IntegrityError, match="expected the digest in its name"):
        b"".join(read_contents(again, "app:1")[1].blobs[1].open(0))


def test_a_shared_layer_is_listed_for_each_image(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    index = read_index(layout, add_whole_index(layout), tmp_path)
    one, two, _ = read_contents(index, "app:1")
    shared = {blob.descriptor.digest for blob in one.blobs} & {blob.descriptor.digest for blob in two.blobs}
    assert len(shared) == 1
