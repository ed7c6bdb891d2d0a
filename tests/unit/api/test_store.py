"""The public functions that fill and list the embedded store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lamina


@pytest.mark.parametrize(
    "call",
    [
        lambda **arguments: lamina.fetch_paths(["hello"], **arguments),
        lambda **arguments: lamina.export_paths(["hello"], output="export", **arguments),
        lambda **arguments: lamina.push_paths(["hello"], to="file:///none", **arguments),
        lamina.verify_store,
    ],
    ids=["fetch_paths", "export_paths", "push_paths", "verify_store"],
)
def test_an_argument_of_images_is_refused(call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(
        lamina.InvalidArgument,
        match=r"^'max_layers': got no argument of that name, ",
    ):
        call(embedded_store=tmp_path, max_layers=3)


@pytest.mark.parametrize("value", [None, "", 5, b"folder", "a\0b"])
def test_the_embedded_store_is_the_name_of_a_folder(value: Any) -> None:
    for call in (lamina.list_paths, lamina.verify_store):
        with pytest.raises(lamina.InvalidArgument, match=r"^embedded_store: got "):
            call(embedded_store=value)
