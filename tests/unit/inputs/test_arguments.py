"""The names and types that type checkers see are those of the table of arguments."""

import inspect
from typing import Any

import pytest

from lamina.inputs.arguments import ImageArguments, StoreArguments
from lamina.inputs.declarations import list_arguments
from lamina.inputs.spec import Spec, StoreSpec


@pytest.mark.parametrize(("typed", "spec"), [(StoreArguments, StoreSpec), (ImageArguments, Spec)])
def test_the_table_and_the_types_for_type_checkers_are_the_same(typed: Any, spec: Any) -> None:
    """The type of an argument is what its parser takes."""
    accepted = {
        name: inspect.signature(declared.parse).parameters["value"].annotation
        for name, declared in list_arguments(spec).items()
    }
    written = {name: reference.__forward_arg__ for name, reference in typed.__annotations__.items()}
    assert list(written.items()) == list(accepted.items())
