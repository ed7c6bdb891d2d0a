"""The model of a bill of materials."""

from dataclasses import replace

from tests.support.factories import path
from tests.support.sbom import BILL, COMPONENTS

from lamina.core.package_names import PackageName
from lamina.formats.bill_of_materials import SoftwareSubject


def test_the_deriver_tells_the_output() -> None:
    assert [item.package for item in COMPONENTS] == [
        PackageName("glibc", "2.40", "weird"),
        PackageName("glibc", "2.40", ""),
    ]


def test_dependencies_are_references_to_other_components() -> None:
    assert BILL.dependencies == {path("glibc-2.40-weird"): (path("glibc-2.40"),), path("glibc-2.40"): ()}


def test_the_date_is_iso_8601_with_a_z() -> None:
    assert BILL.timestamp == "2026-01-02T03:04:05Z"


def test_the_serial_number_follows_from_the_content_alone() -> None:
    same = replace(BILL, components=(replace(COMPONENTS[0]), COMPONENTS[1]))
    known = COMPONENTS[0].narinfo
    assert known
    others = [
        replace(BILL, created=BILL.created.replace(second=6)),
        replace(BILL, roots=()),
        replace(BILL, components=COMPONENTS[:1]),
        replace(BILL, subject=SoftwareSubject("image", "glibc", "2.40")),
        replace(BILL, components=(replace(COMPONENTS[0], narinfo=replace(known, signatures=())), COMPONENTS[1])),
    ]
    assert same.serial_number == BILL.serial_number
    assert len({BILL.serial_number, *(other.serial_number for other in others)}) == 1 + len(others)


def test_where_a_path_comes_from_changes_nothing() -> None:
    known = COMPONENTS[0].narinfo
    assert known
    elsewhere = replace(known, url="nar/x.nar.xz", compression="xz", file_size=3)
    other = replace(BILL, components=(replace(COMPONENTS[0], narinfo=elsewhere), COMPONENTS[1]))
    assert other.serial_number == BILL.serial_number
