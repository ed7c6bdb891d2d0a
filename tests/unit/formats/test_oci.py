"""The JSON documents of an OCI layout, and which entries of its index a new image replaces."""

import json
from typing import Any

import pytest

from lamina.core.names import Digest, ImageReference
from lamina.errors import FormatError
from lamina.formats import oci
from lamina.formats.oci import FULL_NAME, REF_NAME, Descriptor, update_index
from lamina.formats.platform import Platform

MANIFEST = Descriptor(oci.MANIFEST_TYPE, Digest(bytes(32)), 7)


def entry(full: Any = None, ref: Any = None) -> dict[str, Any]:
    annotations = {name: value for name, value in ((FULL_NAME, full), (REF_NAME, ref)) if value is not None}
    return {"mediaType": oci.MANIFEST_TYPE, "digest": "sha256:x", "size": 1, "annotations": annotations}


def add(*others: Any, name: str = "app:1", architecture: str = "amd64", **fields: Any) -> oci.UpdatedIndex:
    existing = json.dumps({"schemaVersion": 2, "manifests": list(others), **fields}).encode()
    return update_index(existing, MANIFEST, ImageReference.parse(name), Platform.parse(architecture))


def test_a_descriptor_is_made_of_the_bytes_of_a_document() -> None:
    found = Descriptor.of(oci.MANIFEST_TYPE, b"{}", (("k", "v"),))
    digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert found.dump() == {
        "mediaType": oci.MANIFEST_TYPE,
        "digest": digest,
        "size": 2,
        "annotations": {"k": "v"},
    }


def test_a_manifest_lists_config_and_layers_in_order() -> None:
    layer = Descriptor(oci.LAYER_TYPE, Digest(bytes(31) + b"\1"), 5)
    document = json.loads(oci.dump_manifest(MANIFEST, [layer, MANIFEST]))
    assert document["mediaType"] == oci.MANIFEST_TYPE
    assert document["config"] == MANIFEST.dump()
    assert document["layers"] == [layer.dump(), MANIFEST.dump()]
    assert oci.blob_path(layer.digest) == f"blobs/sha256/{'0' * 63}1"


def test_a_new_index_has_one_entry_with_platform_and_names() -> None:
    updated = update_index(None, MANIFEST, ImageReference.parse("me/app:1"), Platform.parse("arm/v7"))
    document = json.loads(updated.document)
    assert document["mediaType"] == oci.INDEX_TYPE
    assert document["manifests"] == [
        MANIFEST.dump()
        | {
            "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
            "annotations": {FULL_NAME: "docker.io/me/app:1", REF_NAME: "1"},
        }
    ]
    assert updated.renamed == ()


@pytest.mark.parametrize("replaced", [entry("docker.io/library/app:1"), entry("app:1", "x"), entry(None, "1")])
def test_an_entry_of_the_same_name_is_replaced(replaced: dict[str, Any]) -> None:
    assert len(json.loads(add(replaced).document)["manifests"]) == 1


@pytest.mark.parametrize("kept", [entry("docker.io/library/other:2", "2"), entry(5), "text", None, {"annotations": 5}])
def test_entries_of_other_names_are_kept_as_they_are(kept: object) -> None:
    updated = add(kept, more="kept")
    document = json.loads(updated.document)
    assert document["manifests"][:-1] == [kept]
    assert document["more"] == "kept"
    assert updated.renamed == ()


def test_the_same_name_may_stay_for_other_platforms() -> None:
    first = update_index(None, MANIFEST, ImageReference.parse("app:1"), Platform.parse("amd64"))
    name, arm = ImageReference.parse("app:1"), Platform.parse("arm64")
    second = update_index(first.document, MANIFEST, name, arm, keeps_platforms=True)
    third = update_index(second.document, MANIFEST, name, arm, keeps_platforms=True)
    assert second.document == third.document
    entries = json.loads(third.document)["manifests"]
    assert [entry["platform"]["architecture"] for entry in entries] == ["amd64", "arm64"]
    assert {entry["annotations"][REF_NAME] for entry in entries} == {"1"}
    assert (second.replaced, third.replaced) == (None, MANIFEST.digest)


def test_an_unknown_platform_is_left_out() -> None:
    updated = update_index(None, MANIFEST, ImageReference.parse("app:1"), Platform("", ""))
    assert "platform" not in json.loads(updated.document)["manifests"][0]


def test_another_image_loses_its_tag_to_the_new_one() -> None:
    updated = add(entry("docker.io/library/other:1", "1"), entry("no name", "1"))
    names = [item["annotations"][REF_NAME] for item in json.loads(updated.document)["manifests"]]
    assert names == ["other:1", "no name", "1"]
    assert updated.renamed == ("other:1", "no name")


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"manifests": 5}', b"null"])
def test_a_file_that_is_no_index_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"index\.json: got .*as in an OCI layout"):
        update_index(text, MANIFEST, ImageReference.parse("app:1"), Platform.parse("amd64"))


@pytest.mark.parametrize(
    ("platform", "is_replaced"),
    [
        ({"os": "linux", "architecture": "amd64"}, True),
        (None, True),
        ({"os": "linux", "architecture": "arm64"}, False),
        ("text", False),
    ],
)
def test_the_image_before_is_the_one_with_the_same_name_and_platform(platform: Any, *, is_replaced: bool) -> None:
    before = entry("docker.io/library/app:1") | {"digest": f"sha256:{'1' * 64}"}
    if platform:
        before["platform"] = platform
    assert add(before).replaced == (Digest(b"\x11" * 32) if is_replaced else None)


@pytest.mark.parametrize("others", [(), (entry("docker.io/library/app:2"),), (entry("app:1"),)])
def test_without_a_name_or_with_an_invalid_digest_there_was_no_image_before(others: tuple[Any, ...]) -> None:
    assert add(*others).replaced is None


def test_the_layers_of_a_manifest_are_parsed() -> None:
    layer = Descriptor(oci.LAYER_TYPE, Digest(bytes(31) + b"\1"), 5)
    assert oci.parse_layers(oci.dump_manifest(MANIFEST, [layer, MANIFEST]), "x") == (layer, MANIFEST)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"layers": 5}',
        '{"layers": [5]}',
        '{"layers": [{"mediaType": "x", "digest": "sha256:1", "size": 1}]}',
        '{"layers": [{"mediaType": "x", "digest": 5, "size": 1}]}',
        f'{{"layers": [{{"mediaType": "x", "digest": "sha256:{"0" * 64}", "size": -1}}]}}',
        f'{{"layers": [{{"mediaType": "x", "digest": "sha256:{"0" * 64}", "size": true}}]}}',
        '{"layers": [{"mediaType": "x", "size": 1}]}',
    ],
)
def test_a_manifest_without_valid_layers_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"^x: (digest: )?got"):
        oci.parse_layers(text.encode(), "x")
