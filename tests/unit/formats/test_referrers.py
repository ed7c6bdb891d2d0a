"""A document is attached by a manifest with a subject, and lists of referrers keep what others attached."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.oci_schemas import check_artifact, check_oci_document

from lamina.core.names import Digest
from lamina.errors import FormatError
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE, Descriptor
from lamina.formats.referrers import (
    AttachedDocument,
    Referrer,
    add_referrer,
    make_referrers_tag,
    parse_referrers,
)

IMAGE = Descriptor(MANIFEST_TYPE, Digest(b"\1" * 32), 500, (("a", "of the image"),))
SBOM = AttachedDocument("sbom", "application/spdx+json", b'{"spdx": 1}\n', "sbom.spdx.json", (("org.example.a", "b"),))
OTHERS: dict[str, Any] = {
    "mediaType": MANIFEST_TYPE,
    "digest": f"sha256:{'2' * 64}",
    "size": 3,
    "artifactType": "application/spdx+json",
    "annotations": {"org.example.signer": "me"},
    "unknown": [1],
}


def dump_list(*entries: Any, **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(entries), **more}).encode()


def test_a_document_is_the_layer_of_an_artifact_whose_subject_is_the_image() -> None:
    document, referrer = SBOM.refer_to(IMAGE)
    manifest = json.loads(document)
    check_artifact(manifest)
    assert manifest["artifactType"] == "application/spdx+json"
    assert manifest["subject"] == {"mediaType": MANIFEST_TYPE, "digest": str(IMAGE.digest), "size": 500}
    # The digest of {} in image-spec 1.1, "Guidance for an Empty Descriptor".
    empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert manifest["config"] == {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}
    (layer,) = manifest["layers"]
    assert layer["annotations"] == {"org.opencontainers.image.title": "sbom.spdx.json"}
    assert (layer["mediaType"], layer["digest"]) == ("application/spdx+json", str(SBOM.descriptor.digest))
    assert manifest["annotations"] == {"lamina.document": "sbom", "org.example.a": "b"}
    assert referrer.dump() == {
        "mediaType": MANIFEST_TYPE,
        "digest": str(referrer.digest),
        "size": len(document),
        "annotations": manifest["annotations"],
        "artifactType": "application/spdx+json",
    }
    assert SBOM.refer_to(IMAGE) == (document, referrer)


def test_a_list_gets_one_entry_however_often_it_is_added() -> None:
    _, referrer = SBOM.refer_to(IMAGE)
    first = add_referrer(None, referrer, "list")
    check_oci_document(INDEX_TYPE, json.loads(first))
    assert parse_referrers(first, "list") == (referrer,)
    assert add_referrer(first, referrer, "list") is first


def test_a_newer_document_takes_the_place_of_the_older_one_and_entries_of_others_stay() -> None:
    _, old = SBOM.refer_to(IMAGE)
    _, new = replace(SBOM, content=b"{}\n").refer_to(IMAGE)
    _, cyclonedx = replace(SBOM, media_type="application/vnd.cyclonedx+json").refer_to(IMAGE)
    _, provenance = replace(SBOM, kind="provenance").refer_to(IMAGE)
    existing = dump_list(OTHERS, old.dump(), cyclonedx.dump(), provenance.dump(), "no entry", annotations={"x": "y"})
    updated = json.loads(add_referrer(existing, new, "list"))
    assert updated == json.loads(
        dump_list(OTHERS, new.dump(), cyclonedx.dump(), provenance.dump(), "no entry", annotations={"x": "y"})
    )


def test_several_entries_for_one_document_become_one() -> None:
    _, referrer = SBOM.refer_to(IMAGE)
    _, old = replace(SBOM, content=b"{}\n").refer_to(IMAGE)
    existing = dump_list(old.dump(), OTHERS, referrer.dump())
    assert json.loads(add_referrer(existing, referrer, "list"))["manifests"] == [referrer.dump(), OTHERS]


def test_a_manifest_that_is_listed_without_annotations_gets_them() -> None:
    _, referrer = SBOM.refer_to(IMAGE)
    bare = {key: value for key, value in referrer.dump().items() if key != "annotations"}
    assert json.loads(add_referrer(dump_list(bare), referrer, "list"))["manifests"] == [referrer.dump()]


def test_a_document_of_others_is_never_replaced_by_one_of_lamina() -> None:
    referrer = Referrer(Descriptor(MANIFEST_TYPE, Digest(b"\3" * 32), 9), "application/spdx+json")
    assert json.loads(add_referrer(dump_list(OTHERS), referrer, "list"))["manifests"] == [OTHERS, referrer.dump()]


def test_entries_that_are_no_descriptors_are_left_out() -> None:
    entries = [
        *("text", {}, {"digest": "sha256:1"}, {**OTHERS, "size": -1}),
        {**OTHERS, "digest": f"sha512:{'2' * 128}"},
        {**OTHERS, "artifactType": 5, "annotations": {"a": 1, "b": "c"}},
    ]
    (found,) = parse_referrers(dump_list(*entries), "list")
    assert (found.artifact_type, found.descriptor.annotations) == ("", (("b", "c"),))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"[]", "^list: got a list, expected an image index"),
        (b'{"manifests": {}}', "^list: got an object that is no image index"),
        (b'{"mediaType": "application/vnd.oci.image.manifest.v1+json", "manifests": []}', "no image index"),
        (b"{", "^list: "),
    ],
)
def test_a_list_must_be_an_image_index(index: bytes, message: str) -> None:
    _, referrer = SBOM.refer_to(IMAGE)
    with pytest.raises(FormatError, match=message):
        parse_referrers(index, "list")
    with pytest.raises(FormatError, match=message):
        add_referrer(index, referrer, "list")


def test_the_tag_follows_from_the_digest() -> None:
    assert make_referrers_tag(IMAGE.digest) == f"sha256-{'01' * 32}"
