"""A layering pipeline in a file, with links to store paths in it."""

import json
from pathlib import Path

import pytest
from tests.support.factories import closure, layers, path

from lamina.errors import FormatError, InputError, InvalidArgument
from lamina.inputs.pipelinefile import load, looks_like_file


def test_a_file_is_told_from_the_name_of_a_strategy(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert looks_like_file("./x")
    assert looks_like_file("x.json")
    assert looks_like_file("mine", tmp_path)
    assert not looks_like_file("mine")
    assert not looks_like_file("popularity", tmp_path)


def write(folder: Path, *operations: object) -> str:
    (folder / "pipeline.json").write_text(json.dumps(operations))
    return str(folder / "pipeline.json")


@pytest.mark.parametrize("text", [str(path("B")), f"{path('B')}/bin", "./result"])
def test_paths_inside_a_store_path_and_links_mean_that_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "result").symlink_to(str(path("B")))
    pipeline = load(write(tmp_path, ["remove_paths", [text]]))
    assert layers(pipeline(closure("A→B"), 100, (), len)) == ["A"]


def test_a_file_that_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"layering {tmp_path}/none.json") as caught:
        load(f"{tmp_path}/none.json")
    assert "popularity" in caught.value.hint
    with pytest.raises(InvalidArgument, match=f"layering {tmp_path}"):
        load(write(tmp_path, ["no_such_operation"]))
    (tmp_path / "text").write_text("{")
    with pytest.raises(FormatError, match=f"layering {tmp_path}/text"):
        load(f"{tmp_path}/text")
