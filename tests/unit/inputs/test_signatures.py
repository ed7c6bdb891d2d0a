"""Signatures and docstrings that list each argument of the table."""

from __future__ import annotations

import inspect
from typing import Unpack

from lamina.inputs.arguments import ARGUMENTS, ImageArguments, StoreArguments
from lamina.inputs.signatures import expand, format_type


def build(*, output: str, **arguments: Unpack[ImageArguments]) -> int:
    """Build an image.

    Args:
        output: a file.
        name: the name of all.
        **arguments: those of `ImageArguments`, which this line
            goes on to describe.

    Returns:
        A number.

    """
    return len(arguments)


def fetch(root: str, **sources: Unpack[StoreArguments]) -> None:
    """Fetch a root."""


def count(**numbers: int) -> int:
    """Count numbers."""
    return len(numbers)


def test_a_signature_lists_every_argument_with_its_default() -> None:
    signature = inspect.signature(expand(build))
    assert list(signature.parameters) == ["output", *ARGUMENTS]
    assert {name: signature.parameters[name].default for name in ARGUMENTS} == {
        name: declared.default for name, declared in ARGUMENTS.items()
    }
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in signature.parameters.values())
    assert signature.return_annotation == "int"


def test_a_table_of_stores_is_listed_too() -> None:
    assert list(inspect.signature(expand(fetch)).parameters) == ["root", *StoreArguments.__annotations__]
    assert inspect.getdoc(fetch) == "Fetch a root."


def test_a_docstring_describes_every_argument_once() -> None:
    text = inspect.getdoc(expand(build)) or ""
    for name, declared in ARGUMENTS.items():
        assert text.count(f"\n    {name}: ") == 1
        assert name == "name" or declared.description[1:] in " ".join(text.split())
    assert "name: the name of all." in text
    assert "**" not in text
    assert "goes on" not in text
    assert text.endswith("Returns:\n    A number.")


def test_a_function_is_expanded_once() -> None:
    expanded = inspect.getdoc(expand(build))
    assert inspect.getdoc(expand(build)) == expanded
    assert expand(count) is count
    assert str(inspect.signature(count)) == "(**numbers: 'int') -> 'int'"


def test_types_are_written_as_in_the_table() -> None:
    assert format_type("store") == "StrPath | StoreLike | Sequence[StrPath]"
    assert format_type("contents") == "StrPath | Iterable[StrPath]"
    assert format_type("config") == "Mapping[str, Any] | None"
    assert format_type("verify") == "bool"
