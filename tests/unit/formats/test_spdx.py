"""SPDX documents; `read_spdx` checks them with spdx-tools."""

import json
from dataclasses import replace

from spdx_tools.spdx.model.relationship import RelationshipType
from tests.support.factories import path
from tests.support.sbom import BILL, COMPONENTS, read_spdx

from lamina.core.names import StorePath
from lamina.formats import spdx
from lamina.formats.bill_of_materials import SoftwareComponent, SoftwareSubject


def test_a_package_has_its_name_version_checksum_and_references() -> None:
    subject, known, unknown = read_spdx(spdx.dump(BILL)).packages
    narinfo = COMPONENTS[0].narinfo
    assert narinfo
    assert (subject.name, subject.version) == ("glibc", "2.40")
    assert (known.name, known.version, known.files_analyzed) == ("glibc", "2.40", False)
    assert [item.value for item in known.checksums] == [narinfo.info.nar_hash.hex]
    assert [item.locator for item in known.external_references] == [
        f"pkg:nix/glibc@2.40?output=weird&outputhash={path('glibc-2.40-weird').hash}",
        str(path("glibc-2.40-weird")),
    ]
    assert unknown.checksums == []


def test_the_relationships_are_a_graph_from_the_document() -> None:
    parsed = read_spdx(spdx.dump(BILL))
    weird, main = (f"SPDXRef-{path(name).base}" for name in ("glibc-2.40-weird", "glibc-2.40"))
    relations = [
        (item.spdx_element_id, item.relationship_type, item.related_spdx_element_id) for item in parsed.relationships
    ]
    assert relations == [
        ("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, "SPDXRef-Subject"),
        ("SPDXRef-Subject", RelationshipType.DEPENDS_ON, weird),
        (weird, RelationshipType.DEPENDS_ON, main),
    ]


def test_the_document_names_the_subject_the_date_and_the_tool() -> None:
    bill = replace(BILL, subject=SoftwareSubject("image", "me/app", "1", "sha256:1"))
    document = json.loads(spdx.dump(bill))
    assert (document["name"], document["creationInfo"]["created"]) == ("me/app-1", BILL.timestamp)
    assert document["documentNamespace"].endswith(str(bill.serial_number))
    assert document["packages"][0]["comment"] == "image ID: sha256:1"
    assert "NAR" in document["creationInfo"]["comment"]


def test_characters_that_identifiers_lack_are_replaced() -> None:
    awkward = StorePath.parse_base(f"{'1' * 32}-thing-1.0+x?=y_z")
    parsed = read_spdx(spdx.dump(replace(BILL, components=(SoftwareComponent(awkward, None),), roots=(awkward,))))
    assert parsed.packages[1].spdx_id == f"SPDXRef-{'1' * 32}-thing-1.0-x--y-z"
    assert parsed.packages[1].version == "1.0+x?=y_z"


def test_the_same_model_gives_the_same_bytes() -> None:
    assert spdx.dump(replace(BILL, components=tuple(map(replace, COMPONENTS)))) == spdx.dump(BILL)
