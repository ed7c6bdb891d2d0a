"""The history of an image: names and dates of earlier images, and what a plan makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.factories import path
from tests.support.image_files import LayoutBuilder, layer

from lamina.builder.update_history import read_known_updates
from lamina.core.names import StorePath
from lamina.errors import InvalidArgument
from lamina.inputs.spec import Spec

TITLE = "org.opencontainers.image.ref.name"


def read(history: list[str], **arguments: Any) -> tuple[list[list[str]], list[str]]:
    """Return the versions in each sequence of images, and the warnings."""
    warnings: list[str] = []
    spec = Spec.parse({"layering": "cost", "history": history, **arguments})
    known = read_known_updates(spec, warnings)
    return [[" ".join(sorted(each.name for each in paths)) for paths in images] for images in known.history], warnings


def write_layout(folder: Path, *images: tuple[str, str, list[StorePath]]) -> str:
    """Write a layout of images; each has a name, a date and store paths."""
    layout = LayoutBuilder()
    layout.index(
        *(
            layout.image(
                [layer(name)],
                config_more={"created": created, "history": [{"comment": f"store paths: {list(map(str, paths))}"}]},
                annotations={TITLE: name},
            )
            for name, created, paths in images
        )
    )
    layout.write(folder)
    return str(folder)


def test_images_of_a_layout_are_in_the_order_of_their_dates(tmp_path: Path) -> None:
    layout = write_layout(
        tmp_path / "layout",
        ("app:1", "2024-05-01T00:00:00.123456789Z", [path("app-2")]),
        ("app:2", "2024-04-01T00:00:00+02:00", [path("app-1"), path("lib-1")]),
        ("me/app:3", "2024-06-01T00:00:00", [path("app-3")]),
        ("db:1", "some day", [path("db-1")]),
    )
    assert read([layout]) == ([["db-1"], ["app-1 lib-1", "app-2", "app-3"]], [])


def test_an_image_counts_once_wherever_it_is(tmp_path: Path) -> None:
    image = ("app:1", "2024-01-01T00:00:00Z", [path("app-1")])
    layouts = [write_layout(tmp_path / name, image) for name in "ab"]
    assert read([*layouts, layouts[0]]) == ([["app-1"]], [])


def test_an_image_without_store_paths_says_nothing(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", ("app:1", "", []))
    expected = f"history: {layout}: no store paths in the history of its layers, so nothing is learnt from it"
    assert read([layout]) == ([], [expected])


def test_without_the_network_a_reference_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="history: got localhost:1/app:latest and offline") as raised:
        read(["localhost:1/app"], offline=True)
    assert raised.value.hint == "fetch it first: lamina pull localhost:1/app:latest -o earlier.tar"


@pytest.mark.parametrize("argument", [{"history": ["x.tar"]}, {"rates": {"glibc": 2}}], ids=["history", "rates"])
@pytest.mark.parametrize("layering", ["auto", [["popularity_contest"]]], ids=["auto", "pipeline"])
def test_only_the_layering_cost_uses_them(argument: dict[str, Any], layering: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"got the layering (auto|pipeline), expected cost") as raised:
        Spec.parse({"layering": layering, **argument})
    assert raised.value.hint == "--layering cost"
