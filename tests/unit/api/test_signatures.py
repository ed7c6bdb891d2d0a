"""The public functions that take arguments of the table, with signatures that list all of them."""

import inspect
import re

import pytest

import lamina
from lamina.api import signatures


@pytest.mark.parametrize("name", signatures.HOMES)
def test_the_docstring_of_a_function_describes_every_parameter(name: str) -> None:
    function = getattr(lamina, name)
    parameters = inspect.signature(function).parameters.values()
    assert not [one for one in parameters if one.kind is one.VAR_KEYWORD]
    described = re.findall(r"^    (\w+): ", (inspect.getdoc(function) or "").partition("\nReturns:")[0], re.MULTILINE)
    assert sorted(described) == sorted(one.name for one in parameters)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'lamina\.api\.signatures' has no attribute 'inspect'"):
        signatures.inspect  # type: ignore[attr-defined]  # noqa: B018
