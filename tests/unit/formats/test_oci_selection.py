"""Which entries of an index are kept, and which blobs a document refers to."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.errors import FormatError, NotFound
from lamina.formats.oci import FULL_NAME, REF_NAME
from lamina.formats.oci_selection import IndexEntry, find_attached, list_blobs, parse_digest, select_entries


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def entry(number: int, full: str = "", tag: str = "") -> IndexEntry:
    annotations = {name: value for name, value in ((FULL_NAME, full), (REF_NAME, tag)) if value}
    return IndexEntry.parse({"digest": digest(number), "annotations": annotations})


LAST = "docker.io/library/app"


@pytest.mark.parametrize(
    ("full", "tag", "name"),
    [
        (f"{LAST}:1", "1", "app:1"),
        (f"{LAST}:1", "app:1", "app:1"),
        ("", "app:1", "app:1"),
        ("", "latest", "latest"),
        ("registry.example/a/b:2", "2", "registry.example/a/b:2"),
        ("Not A Name", "", "Not A Name"),
        ("", "", digest(5)),
    ],
)
def test_an_entry_has_the_name_that_its_annotations_give(full: str, tag: str, name: str) -> None:
    assert entry(5, full, tag).name == name


@pytest.mark.parametrize("item", [5, {}, {"digest": 5}, {"digest": "sha256:x"}, {"digest": "../../etc/passwd"}])
def test_an_entry_without_a_digest_is_refused(item: Any) -> None:
    with pytest.raises(FormatError):
        IndexEntry.parse(item)


def names(kept: frozenset[IndexEntry]) -> list[str]:
    return sorted(found.name for found in kept)


ENTRIES = [
    entry(1, f"{LAST}:v1.0", "v1.0"),
    entry(2, "registry.example/web:v1.0", "registry.example/web:v1.0"),
    entry(3, f"{LAST}:v1.1", "v1.1"),
    entry(4, f"{LAST}:latest", "latest"),
    entry(5, "", "other"),
    entry(6),
]


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (["v1.0"], ["app:v1.0", "registry.example/web:v1.0"]),
        (["app:v1.0"], ["app:v1.0"]),
        (["docker.io/library/app:v1.1"], ["app:v1.1"]),
        (["v1.*"], ["app:v1.0", "app:v1.1", "registry.example/web:v1.0"]),
        (["app:*", "other"], ["app:latest", "app:v1.0", "app:v1.1", "other"]),
        ([digest(6)], [digest(6)]),
        (["latest"], ["app:latest"]),
    ],
)
def test_an_image_is_kept_by_its_tag_name_or_digest(patterns: list[str], kept: list[str]) -> None:
    assert names(select_entries(ENTRIES, patterns, None)) == kept


def test_a_pattern_that_fits_nothing_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(NotFound, match=r"^'v2': got no image that it matches, expected one of app:v1.0, registry"):
        select_entries(ENTRIES, ["latest", "v2"], None)


def test_the_last_tags_of_each_name_are_kept() -> None:
    assert names(select_entries(ENTRIES, [], 1)) == ["app:latest", "registry.example/web:v1.0", digest(6)]
    assert len(select_entries(ENTRIES, [], 2)) == 5
    assert len(select_entries(ENTRIES, [], 3)) == 6
    assert names(select_entries(ENTRIES, ["v1.0"], 1)) == [
        "app:latest",
        "app:v1.0",
        "registry.example/web:v1.0",
        digest(6),
    ]


def test_the_platforms_of_one_tag_count_once() -> None:
    entries = [entry(1, f"{LAST}:1", "1"), entry(2, f"{LAST}:2", "2"), entry(3, f"{LAST}:2", "2")]
    assert {found.digest for found in select_entries(entries, [], 1)} == {digest(2), digest(3)}


def test_without_a_choice_everything_is_kept() -> None:
    assert select_entries(ENTRIES, [], None) == frozenset(ENTRIES)


def test_a_signature_does_not_count_as_a_tag() -> None:
    signature = entry(9, "", f"sha256-{1:064x}.sig")
    entries = [entry(1, "", "1"), signature]
    assert names(select_entries(entries, [], 1)) == ["1"]
    assert find_attached(signature, {}) == digest(1)
    assert find_attached(entries[0], {"subject": {"digest": digest(7)}}) == digest(7)
    assert find_attached(entries[0], {}) is None


def test_a_document_refers_to_its_manifests_layers_and_config() -> None:
    manifest = {"config": {"digest": digest(1)}, "layers": [{"digest": digest(2)}], "blobs": [{"digest": digest(3)}]}
    assert set(list_blobs(manifest)) == {(digest(1), False), (digest(2), False), (digest(3), False)}
    assert list(list_blobs({"manifests": [{"digest": digest(4)}]})) == [(digest(4), True)]
    assert list(list_blobs({"manifests": None})) == []
    assert parse_digest({"digest": digest(4)}) == digest(4)


@pytest.mark.parametrize("document", [{"layers": 5}, {"layers": {"a": 1}}, {"layers": [5]}, {"config": 5}])
def test_a_document_of_another_form_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        list(list_blobs(document))
