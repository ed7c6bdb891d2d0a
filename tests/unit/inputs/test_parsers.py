"""The parsers of arguments, called by name as the functions of the store do."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lamina.errors import InvalidArgument
from lamina.inputs import parsers
from lamina.inputs.arguments import ARGUMENTS


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("value", [object(), 1.5j])
def test_what_no_argument_takes_is_refused_under_the_name_of_the_argument(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{name}: got .*, expected "):
        ARGUMENTS[name].parse(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created", "x"),
        ("add_user", "bob"),
        ("add_user", "bob:99999999999"),
        ("trusted_keys", "x"),
        ("jobs", 0),
        ("compressor", "x"),
        ("layer_compression", "x"),
        ("name", "a//b"),
        ("tag", "-x"),
        ("max_unpacked_size", "x"),
        ("store", ""),
    ],
)
def test_an_error_about_a_value_has_the_name_under_which_it_was_given(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^--given: got .*, expected "):
        ARGUMENTS[name].parse("--given", value)


@pytest.mark.parametrize(("name", "subject"), [("tree", "tree.dir"), ("--dir", "--dir")])
@pytest.mark.parametrize("text", ["x", "/x:9", "/x:77777"])
def test_an_error_about_an_entry_names_its_kind(name: str, subject: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{subject}: got .*, expected "):
        parsers.parse_tree(name, [{"dir": text}])  # type: ignore[list-item]


def test_a_list_of_texts_may_hold_paths_and_may_be_a_single_one() -> None:
    assert parsers.parse_texts("roots", [Path("/a"), "b"]) == ("/a", "b")
    assert parsers.parse_texts("roots", Path("/a")) == ("/a",)
    assert parsers.parse_texts("roots", iter(["a"])) == ("a",)


def test_words_are_stripped_and_taken_once() -> None:
    assert parsers.parse_inherit("inherit", " Cmd, User,Cmd") == ("Cmd", "User")
    assert parsers.parse_inherit("inherit", ["Cmd ", "Cmd"]) == ("Cmd",)
    with pytest.raises(InvalidArgument, match=r"^inherit: got 'Cmd,User', expected some of "):
        parsers.parse_inherit("inherit", ["Cmd,User"])


def test_none_is_a_value_where_the_default_is_none() -> None:
    for name, declared in ARGUMENTS.items():
        if declared.default is None:
            assert declared.parse(name, None) is None


@pytest.mark.parametrize(("value", "expected"), [("1MiB", 1 << 20), (5, 5), ("0.5K", 512)])
def test_a_size_is_a_number_or_a_text_with_a_unit(value: Any, expected: int) -> None:
    assert parsers.parse_size("max_unpacked_size", value) == expected


@pytest.mark.parametrize("value", [0, 257, True, 1.0, "2"])
def test_a_number_of_processors_is_from_1_to_256(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^jobs: got .*, expected a number from 1 to 256$"):
        parsers.parse_jobs("jobs", value)


@pytest.mark.parametrize("value", [5, None, [("a", 1)], ("a",), (1, 2), {1: 2}, {"a": "b"}, {"a": 0}])
def test_rates_are_numbers_for_patterns(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^rates: "):
        parsers.parse_rates("rates", value)
    parsed: Any = parsers.parse_rates("rates", {"glibc": 0.5})
    assert parsers.parse_rates("rates", parsed) == parsed == (("glibc", Fraction(1, 2)),)
