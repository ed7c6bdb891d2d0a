"""The names of files that callers pass."""

import io
from pathlib import Path
from typing import Any

import pytest

import lamina
from lamina.system.file_names import parse_file_name


@pytest.mark.parametrize("name", ["a", Path("a")])
def test_texts_and_paths_are_names(name: Any) -> None:
    assert parse_file_name("source", name) == "a"


@pytest.mark.parametrize("value", [None, 5, b"a", io.BytesIO()], ids=lambda value: type(value).__name__)
def test_nothing_else_is_a_name(value: Any, tmp_path: Path) -> None:
    with pytest.raises(lamina.InvalidArgument, match=r"image: got .* expected the name of an image file"):
        lamina.inspect(value)
    with pytest.raises(lamina.InvalidArgument, match=r"image: got .* expected the name of an image file"):
        lamina.export_image(value, output=tmp_path / "1.tar")
    with pytest.raises(lamina.InvalidArgument, match=r"images?: got .* expected"):
        lamina.merge_images(value, output=tmp_path / "1.tar")
    with pytest.raises(lamina.InvalidArgument, match=r"output: got .* expected the name of a file or folder"):
        lamina.build_layered_image(contents="/nix/store/missing", output=value)
    with pytest.raises(lamina.InvalidArgument, match=r"source: got .* expected the name of a file or folder"):
        lamina.add_path(value, embedded_store=tmp_path / "store")


@pytest.mark.parametrize("value", [None, 5])
def test_what_cannot_be_read_or_written_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(lamina.InvalidArgument, match=r"source: got .* expected the name of a file, or an object with"):
        lamina.import_paths(value, embedded_store=tmp_path / "store")
    out = lamina.open_output(value)
    with pytest.raises(lamina.InvalidArgument, match=r"output: got .* expected the name of a file, or an object with"):
        out.__enter__()
