"""The traceback of ``--debug``: every cause, and no message that may hold a secret."""

import pytest

from lamina.cli.debug_traceback import format_traceback
from lamina.errors import NotFound


def catch(error: Exception, cause: Exception, *, hides: bool = False) -> Exception:
    """Return ``error``, raised because of ``cause``."""
    with pytest.raises(type(error)) as caught:  # noqa: PT012
        try:
            raise cause
        except type(cause) as found:
            raise error from (None if hides else found)
    return caught.value


def test_a_cause_comes_before_what_it_led_to() -> None:
    lines = list(format_traceback(catch(NotFound("x", got="nothing", expected="it"), KeyError("hunter2"))))
    first, second = lines.index("builtins.KeyError"), lines.index("lamina.errors.NotFound: x: got nothing, expected it")
    assert first < lines.index("which led to:") < second
    assert lines[0] == "Traceback (most recent call last):"
    assert "hunter2" not in "".join(lines).replace('KeyError("hunter2")', "")


def test_a_hidden_cause_is_left_out() -> None:
    assert "which led to:" not in list(format_traceback(catch(ValueError("x"), KeyError("y"), hides=True)))


def test_an_error_of_the_system_has_its_text_alone() -> None:
    assert (
        list(format_traceback(OSError(2, "No such file", "/secret")))[-1] == "builtins.FileNotFoundError: No such file"
    )


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert list(format_traceback(one)).count("builtins.ValueError") == 2
