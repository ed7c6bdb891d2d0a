"""CycloneDX documents; `read_cyclonedx` checks them against the official schema."""

import json
from dataclasses import replace

from cyclonedx.model.component import ComponentType
from tests.support.factories import path
from tests.support.sbom import BILL, COMPONENTS, list_properties, read_cyclonedx

from lamina.formats import cyclonedx
from lamina.formats.bill_of_materials import SoftwareSubject
from lamina.version import __version__


def test_a_component_has_the_properties_of_nixpkgs() -> None:
    """They are those of nixpkgs' doc/interoperability/cyclonedx.md."""
    bom = read_cyclonedx(cyclonedx.dump(BILL))
    known, unknown = sorted(bom.components, key=lambda item: -len(item.properties))
    narinfo = COMPONENTS[0].narinfo
    assert narinfo
    assert list_properties(known) == {
        "nix:store_path": [str(path("glibc-2.40-weird"))],
        "nix:narinfo:store_path": [str(path("glibc-2.40-weird"))],
        "nix:narinfo:nar_hash": [narinfo.info.nar_hash.nix32],
        "nix:narinfo:nar_size": ["1"],
        "nix:narinfo:references": [" ".join(sorted(map(str, narinfo.info.references)))],
        "nix:narinfo:deriver": [str(path("glibc-2.40.drv"))],
        "nix:narinfo:sig": ["k:s"],
    }
    assert [item.content for item in known.hashes] == [narinfo.info.nar_hash.hex]
    assert list_properties(unknown) == {"nix:store_path": [str(path("glibc-2.40"))]}
    assert not unknown.hashes


def test_a_component_has_its_package_version_and_purl() -> None:
    bom = read_cyclonedx(cyclonedx.dump(BILL))
    assert sorted((item.name, item.version, str(item.purl)) for item in bom.components) == sorted(
        [
            ("glibc", "2.40", f"pkg:nix/glibc@2.40?output=weird&outputhash={path('glibc-2.40-weird').hash}"),
            ("glibc", "2.40", f"pkg:nix/glibc@2.40?outputhash={path('glibc-2.40').hash}"),
        ]
    )


def test_the_dependencies_are_a_graph_from_the_subject() -> None:
    document = json.loads(cyclonedx.dump(BILL))
    graph = {item["ref"]: item.get("dependsOn", []) for item in document["dependencies"]}
    assert graph == {
        document["metadata"]["component"]["bom-ref"]: [str(path("glibc-2.40-weird"))],
        str(path("glibc-2.40-weird")): [str(path("glibc-2.40"))],
        str(path("glibc-2.40")): [],
    }


def test_the_metadata_name_the_subject_the_date_and_the_tool() -> None:
    bill = replace(BILL, subject=SoftwareSubject("image", "me/app", "", "sha256:1"))
    bom = read_cyclonedx(cyclonedx.dump(bill))
    subject = bom.metadata.component
    assert subject
    assert (subject.type, subject.name, subject.version) == (ComponentType.CONTAINER, "me/app", None)
    assert list_properties(subject) == {"lamina:image_id": ["sha256:1"]}
    assert bom.metadata.timestamp == BILL.created
    assert [(tool.name, tool.version) for tool in bom.metadata.tools.components] == [("lamina", __version__)]
    assert bom.serial_number == bill.serial_number


def test_the_same_model_gives_the_same_bytes() -> None:
    again = replace(BILL, components=tuple(map(replace, COMPONENTS)))
    assert cyclonedx.dump(again) == cyclonedx.dump(BILL)


def test_a_bill_without_components_is_valid() -> None:
    assert not read_cyclonedx(cyclonedx.dump(replace(BILL, components=(), roots=()))).components
