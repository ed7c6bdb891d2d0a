"""Indexes and manifests of images, wherever they are stored."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.errors import FormatError
from lamina.formats.platform import Platform
from lamina.images.readers import oci_manifests
from lamina.images.readers.oci_manifests import IndexReader, find_mismatch, parse_image_manifest

OCI = "application/vnd.oci.image."
DIGEST = f"sha256:{'1' * 64}"


def describe(kind: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": DIGEST, "size": 5, **more}


CONFIG, LAYER = describe(f"{OCI}config.v1+json"), describe(f"{OCI}layer.v1.tar+gzip")


def test_the_entries_of_an_index_have_names_and_platforms() -> None:
    annotations = {"io.containerd.image.name": "docker.io/library/app:1"}
    entry = describe(
        f"{OCI}manifest.v1+json", annotations=annotations, platform={"os": "linux", "architecture": "arm64"}
    )
    (found,) = IndexReader(lambda _: None).read_entries({"manifests": [entry]}, "index")
    assert (found.repo_tags, found.platform, str(found.descriptor.digest)) == (
        ("app:1",),
        Platform("linux", "arm64"),
        DIGEST,
    )


def test_what_is_no_image_is_skipped_with_a_reason() -> None:
    attestation = describe(f"{OCI}manifest.v1+json", platform={"os": "unknown", "architecture": "unknown"})
    reader = IndexReader(lambda _: None)
    listed = [attestation, describe("text/plain"), describe(f"{OCI}index.v1+json")]
    assert list(reader.read_entries({"manifests": listed}, "index")) == []
    assert reader.describe_skipped() == f"an attestation; media type 'text/plain'; no blobs/sha256/{'1' * 64}"
    assert IndexReader(lambda _: None).describe_skipped() == "no manifest"


def test_an_index_in_itself_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    index = {"manifests": [describe(f"{OCI}index.v1+json")]}
    assert list(IndexReader(lambda _: index).read_entries(index, "index")) == []
    monkeypatch.setattr(oci_manifests, "MAX_DESCRIPTORS", 1)
    with pytest.raises(FormatError, match="more than 1 manifests"):
        list(IndexReader(lambda _: index).read_entries(index, "index"))


@pytest.mark.parametrize(
    ("more", "mismatch"),
    [
        ({}, ""),
        ({"artifactType": "application/x"}, "the artifact type 'application/x'"),
        ({"config": None}, "no config"),
        ({"config": describe("text/plain")}, "a config of media type 'text/plain'"),
        ({"layers": [describe("text/plain")]}, "a layer of media type 'text/plain'"),
        ({"layers": [{**LAYER, "digest": "sha512:00"}]}, "a layer with a sha512 digest, which is not supported"),
    ],
)
def test_the_manifest_of_an_image_is_recognised(more: dict[str, Any], mismatch: str) -> None:
    assert find_mismatch({"config": CONFIG, "layers": [LAYER], **more}, "m") == mismatch


def test_a_manifest_names_its_config_and_its_layers() -> None:
    parsed = parse_image_manifest({"config": CONFIG, "layers": [LAYER, LAYER]}, "m")
    assert (parsed.config.media_type, len(parsed.layers), parsed.layers[0].size) == (f"{OCI}config.v1+json", 2, 5)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({**LAYER, "mediaType": f"{OCI}layer.v1.tar+lz4"}, "expected the media type of a tar"),
        ({**LAYER, "size": True}, "expected a number of bytes"),
        ({**LAYER, "size": -1}, "got size -1, expected a number of bytes"),
        ({**LAYER, "digest": "sha256:1"}, "digest"),
    ],
)
def test_a_layer_of_another_kind_is_refused(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_image_manifest({"config": CONFIG, "layers": [layer]}, "m")
