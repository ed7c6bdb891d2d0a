"""The fields of errors, and how a message is made of them."""

from __future__ import annotations

import copy
import pickle

import pytest

from lamina.errors import (
    Error,
    FormatError,
    InvalidArgument,
    ScriptError,
    Unreachable,
    default_hint,
    error_context,
    output_error,
)


def test_a_message_has_a_subject_what_was_found_and_what_was_expected() -> None:
    error = FormatError("conf.json", got=3, expected="an object", hint="see the manual")
    assert str(error) == "conf.json: got 3, expected an object"
    assert (error.subject, error.got, error.expected, error.hint) == ("conf.json", "3", "an object", "see the manual")
    assert str(FormatError(got="nothing", expected="a header")) == "got nothing, expected a header"
    assert str(FormatError("a whole sentence")) == "a whole sentence"
    assert repr(FormatError("x", got=1, expected=2)) == "<FormatError: x: got 1, expected 2>"


def test_context_goes_in_front_of_the_subject_once() -> None:
    error = FormatError("line 3", got="x", expected="y")
    assert str(error.add_context("a.json").add_context("b")) == "b: a.json: line 3: got x, expected y"
    assert str(error.add_context("b")) == "b: a.json: line 3: got x, expected y"
    assert str(FormatError("b", got="x", expected="y").add_context("b")) == "b: got x, expected y"
    assert str(FormatError("bc", got="x", expected="y").add_context("b")) == "b: bc: got x, expected y"
    assert str(FormatError(got="x", expected="y").add_context("b")) == "b: got x, expected y"


def test_a_block_adds_context_to_the_families_it_names_and_to_those_below_them() -> None:
    with pytest.raises(Unreachable, match=r"^cache: line: got a, expected b$"), error_context("cache", Unreachable):
        raise Unreachable("line", got="a", expected="b")
    with pytest.raises(InvalidArgument, match=r"^line: got a, expected b$"), error_context("cache", FormatError):
        raise InvalidArgument("line", got="a", expected="b")
    with pytest.raises(ScriptError, match=r"^cache: line$"), error_context("cache", Error):
        raise ScriptError("line")


def test_an_error_becomes_one_of_another_family_with_the_same_fields() -> None:
    error = InvalidArgument("date", got="x", expected="y", hint="z", is_transient=True).add_hint("w")
    converted = error.convert(FormatError)
    assert type(converted) is FormatError
    assert (str(converted), converted.hint, converted.is_transient) == ("date: got x, expected y", "z; w", True)


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_has_the_same_fields(duplicate: object) -> None:
    assert callable(duplicate)
    error = duplicate(ScriptError("script", got="a", expected="b", hint="c", output="d").add_context("e"))
    assert (str(error), error.hint, error.output) == ("e: script: got a, expected b", "c", "d")
    assert duplicate(FormatError("x", is_transient=True)).is_transient
    assert not duplicate(FormatError("x")).is_transient


def _list_errors(kind: type[Error]) -> list[type[Error]]:
    return [kind, *(lower for subclass in kind.__subclasses__() for lower in _list_errors(subclass))]


@pytest.mark.parametrize("kind", _list_errors(Error))
def test_an_error_of_every_family_crosses_processes_with_its_fields(kind: type[Error]) -> None:
    error = kind("subject", got="a", expected="b", hint="c").add_context("d").add_hint("e")
    error.__dict__["output"] = "f"
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is kind
    assert vars(received) == vars(error)
    assert str(received) == "d: subject: got a, expected b"


def test_secrets_are_removed_from_every_field() -> None:
    url = "https://user:password@example.org/x?token=word"
    error = Error(url, got=url, expected=url, hint=url).add_context(url).add_hint(url)
    shown = f"{error} {error.hint} {error.subject} {error.got} {error.expected} {error!r}"
    assert "password" not in shown
    assert "word" not in shown


def test_an_exception_that_tells_what_was_found_is_its_text_without_number_and_file() -> None:
    missing = FileNotFoundError(2, "No such file or directory", "/secret/name")
    assert str(Error("spec", got=missing, expected="a file")) == "spec: got No such file or directory, expected a file"
    assert Error("spec", got=ValueError("embedded null byte")).got == "embedded null byte"
    assert Error("spec", got=TimeoutError("too slow")).got == "too slow"
    assert Error("spec", got=OSError(), expected="a file").got == "OSError"
    assert Error("spec", got=KeyError, expected="a file").got == "<class 'KeyError'>"


@pytest.mark.parametrize(("own", "hint"), [("", "try this"), ("try that", "try that")])
def test_a_default_hint_is_for_errors_without_one(own: str, hint: str) -> None:
    with pytest.raises(FormatError) as caught, default_hint("try this", FormatError):
        raise FormatError("line", "a", "b", hint=own)
    assert caught.value.hint == hint


def test_a_default_hint_is_for_the_given_families() -> None:
    with pytest.raises(InvalidArgument) as caught, default_hint("try this", FormatError):
        raise InvalidArgument("line", "a", "b")
    assert caught.value.hint == ""


def test_the_hint_for_an_output_without_a_folder_is_to_create_it() -> None:
    assert output_error("x/y", FileNotFoundError(2, "No such file or directory")).hint == "create its folder first"
    assert output_error("x/y", PermissionError(13, "Permission denied")).hint == ""
