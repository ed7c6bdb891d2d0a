"""The report of a failed run, as lines and as a JSON document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lamina.cli.failures import BUG, INTERRUPTED, Failure
from lamina.errors import Error, InvalidArgument, NotFound, ScriptError


def _dump(error: BaseException, *, debug: bool = False) -> Any:
    document = json.loads(Failure.of(error, debug=debug).to_json())
    assert document["version"] == 1
    return document["error"]


def test_an_error_has_its_fields_in_json() -> None:
    assert _dump(InvalidArgument("tag", "'a:1'", "a tag", hint="--name a --tag 1")) == {
        "kind": "InvalidArgument",
        "message": "tag: got 'a:1', expected a tag",
        "subject": "tag",
        "got": "'a:1'",
        "expected": "a tag",
        "hint": "--name a --tag 1",
        "exit_code": 2,
    }


def test_an_error_without_a_hint_has_an_empty_one() -> None:
    assert _dump(NotFound("hello", "nothing", "a path"))["hint"] == ""


@pytest.mark.parametrize("family", [Error, *Error.__subclasses__()])
def test_the_kind_is_the_name_of_the_family(family: type[Error]) -> None:
    dumped = _dump(family("x", "y", "z"))
    assert (dumped["kind"], dumped["exit_code"]) == (family.__name__, family.exit_code)


def test_a_failed_script_has_its_output() -> None:
    assert _dump(ScriptError("extra commands", "exit status 1", "0", output="no such file\n"))["output"] == (
        "no such file\n"
    )


def test_an_interrupted_run_is_an_error_too() -> None:
    dumped = _dump(KeyboardInterrupt())
    assert (dumped["kind"], dumped["subject"], dumped["exit_code"]) == ("Interrupted", "interrupted", INTERRUPTED)


def test_a_bug_shows_no_secret() -> None:
    dumped = _dump(RuntimeError("https://me:hunter2@cache.example.org"))
    assert (dumped["kind"], dumped["exit_code"]) == ("Bug", BUG)
    assert "hunter2" not in json.dumps(dumped)
    assert dumped["got"].startswith("RuntimeError: ")


def test_debug_adds_the_traceback_to_the_document() -> None:
    assert "traceback" not in _dump(ValueError("x"))
    assert _dump(ValueError("x"), debug=True)["traceback"][-1] == "builtins.ValueError"


def test_lines_have_escaped_controls(capsys: pytest.CaptureFixture[str]) -> None:
    Failure.of(NotFound("a\x1bb", "x", "y", hint="c\nd")).print()
    assert capsys.readouterr().err == "lamina: a\\x1bb: got x, expected y\nhint: c\\nd\n"
