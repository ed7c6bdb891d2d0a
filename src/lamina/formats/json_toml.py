"""Parsers for JSON and TOML from untrusted sources, in bounded time.

Any input gives either a document or a `FormatError`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from lamina.errors import FormatError

# The time of Python's TOML parser is quadratic in the number of parts of a dotted key.
_MAX_KEY_PARTS = 64
_KEY_PART = r"(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = rf"(?<![A-Za-z0-9_.-]){_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{{_MAX_KEY_PARTS}}}"

# A boolean is an int too, so it comes first.
_TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def parse_json(
    text: str | bytes,
    subject: str,
    expected: str = "JSON",
    *,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Parse a JSON document.

    Args:
        text: the document, in UTF-8 if it is bytes.
        subject: the start of an error message, for example the name of the file.
        expected: the expected format in an error message.
        object_pairs_hook: the hook of `json.loads` that converts the pairs of an object to a value other than a dict.

    Raises:
        FormatError: ``text`` is not JSON, is nested too deeply, or has a number with too many digits.

    """
    with _translate_errors(subject, expected):
        return json.loads(text, object_pairs_hook=object_pairs_hook)


def parse_toml(data: bytes, subject: str, expected: str = "TOML") -> dict[str, Any]:
    """Parse a TOML document in UTF-8. The other arguments and the errors are those of `parse_json`."""
    import tomllib

    with _translate_errors(subject, expected):
        text = data.decode()
        if re.search(_LONG_KEY, text):
            raise FormatError(subject, f"a key of more than {_MAX_KEY_PARTS} parts", expected)
        return tomllib.loads(text)


def is_unicode(text: str) -> bool:
    """Return whether a document can hold ``text``: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def name_type(value: object) -> str:
    """Return what a JSON ``value`` is, for a message that must not show it: ``a list``, ``a string``."""
    if value is None:
        return "null"
    return next((name for kind, name in _TYPE_NAMES.items() if isinstance(value, kind)), "another value")


@contextlib.contextmanager
def _translate_errors(subject: str, expected: str) -> Iterator[None]:
    """Translate the errors of decoding and of both parsers to `FormatError`."""
    try:
        yield
    except RecursionError as error:
        raise FormatError(subject, "values nested too deeply", expected) from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise FormatError(
            subject, f"a syntax error in {place}" if error.doc.strip() else "nothing", expected
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError(subject, f"a byte that is not UTF-8 at offset {error.start}", expected) from error
    except ValueError as error:
        # The parsers raise subclasses of ValueError; a plain ValueError comes from converting a number.
        got = "a number with too many digits" if type(error) is ValueError else error
        raise FormatError(subject, got, expected) from error
