"""Documents from untrusted sources: the value, or a `FormatError` that names the file."""

import time

import pytest

from lamina.errors import FormatError
from lamina.formats.json_toml import name_type, parse_json, parse_toml


def test_a_valid_document_is_parsed() -> None:
    assert parse_json(b'{"a": [1, "\xc3\xa9"]}', "f") == {"a": [1, "é"]}
    assert parse_toml(b'[a]\n"b.c" = 1\nd.e = 2\n', "f") == {"a": {"b.c": 1, "d": {"e": 2}}}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 200_000, '{"a": ' + "9" * 5000 + "}", b"\xff", '"\\ud800"x'],
    ids=["empty", "cut", "deep", "number", "encoding", "rest"],
)
def test_anything_else_than_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(FormatError, match=r"^the file: got .*, expected a list of names$"):
        parse_json(text, "the file", "a list of names")


@pytest.mark.parametrize(
    "text",
    [b"a", b"\xff", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"a = 1\na = 2"],
    ids=["cut", "encoding", "deep", "number", "twice"],
)
def test_anything_else_than_toml_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"^f: got .*, expected TOML$"):
        parse_toml(text, "f")


def test_a_key_of_very_many_parts_is_refused_before_it_is_parsed() -> None:
    """Python's parser needs quadratic time for such a key: minutes for this one."""
    began = time.process_time()
    with pytest.raises(FormatError, match="a key of more than 64 parts"):
        parse_toml(b".".join([b"a"] * 200_000) + b" = 1", "f")
    assert time.process_time() - began < 5


def test_a_value_is_named_by_its_type_in_json() -> None:
    values = parse_json('[{}, [], "x", true, 1, 1.5, null]', "x")
    assert list(map(name_type, values)) == [
        "an object",
        "a list",
        "a string",
        "a boolean",
        "a number",
        "a number",
        "null",
    ]
