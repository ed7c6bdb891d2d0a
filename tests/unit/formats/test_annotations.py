"""Annotations are checked by the rules of the OCI image-spec."""

from typing import Any

import pytest

from lamina.errors import InvalidArgument
from lamina.formats.annotations import MAX_SIZE, parse_annotations, read_annotations

PREFIX = "org.opencontainers.image."


@pytest.mark.parametrize(
    "value",
    [
        {"org.example.team": "a=b", f"{PREFIX}source": "https://example.org"},
        ["org.example.team=a=b", f"{PREFIX}source=https://example.org"],
        [f"{PREFIX}source=old", "org.example.team=a=b", f"{PREFIX}source=https://example.org"],
    ],
)
def test_an_object_or_a_list_gives_sorted_pairs(value: Any) -> None:
    expected = (("org.example.team", "a=b"), (f"{PREFIX}source", "https://example.org"))
    assert parse_annotations("x", value) == expected
    assert parse_annotations("x", expected) == expected


@pytest.mark.parametrize("key", [f"{PREFIX}revision", f"{PREFIX}licenses", "io.example", "a", "Ä"])
def test_a_value_may_be_empty_or_any_text(key: str) -> None:
    assert parse_annotations("x", {key: ""}) == ((key, ""),)
    assert parse_annotations("x", {key: "ü\n"}) == ((key, "ü\n"),)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"": "a"}, "a name such as"),
        ({1: "a"}, "a name such as"),
        ({"a": 1}, "a string"),
        ({"a": None}, "a string"),
        ({"a": "\udcff"}, "a string"),
        (["a"], "K=V"),
        (["=a"], "K=V"),
        ([1], "K=V"),
        ("a=b", "an object whose values are strings"),
        (5, "an object whose values are strings"),
        ({f"{PREFIX}created": "2026-01-31"}, "a date and time as in RFC 3339"),
        ({f"{PREFIX}base.digest": "sha256:12"}, "a digest such as"),
        ({f"{PREFIX}licence": "MIT"}, "a key that OCI defines"),
        ({"org.opencontainers.mine": "x"}, "a key that OCI defines"),
        ({f"{PREFIX}ref.name": "x"}, "another key, because lamina writes"),
        ({"io.containerd.image.name": "x"}, "another key, because lamina writes"),
        ({"a": "b" * MAX_SIZE}, f"at most {MAX_SIZE}"),
    ],
)
def test_what_the_specification_forbids_is_refused(value: Any, expected: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^--annotation: got .*, expected {expected}"):
        parse_annotations("--annotation", value)


def test_a_key_that_is_almost_one_of_oci_has_a_hint() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_annotations("x", {f"{PREFIX}licence": "MIT"})
    assert f"{PREFIX}licenses" in caught.value.hint


def test_annotations_of_a_manifest_are_read_if_they_are_texts() -> None:
    assert read_annotations(b'{"annotations": {"a": "b", "c": 1}}') == {"a": "b"}
    assert read_annotations(b'{"annotations": []}') == read_annotations(b"[]") == read_annotations(b"") == {}
