"""The images of a batch, and which arguments take precedence: the same for the command and in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lamina.cli.batch_images import load_images
from lamina.errors import InputError, InvalidArgument
from lamina.inputs import specfile
from lamina.inputs.batch_specs import BatchArguments, Specs, load_specs

Load = Callable[[list[str], Mapping[str, Any]], BatchArguments]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("a.toml").write_text(
        '[web]\ncontents = ["web"]\nmax_layers = 5\narchitecture = "amd64"\n[job]\ncontents = ["job"]\n'
    )
    Path("b.toml").write_text('[job]\ncontents = ["other"]\n[api]\ncontents = ["api"]\n')


def load_in_python(specs: list[str], given: Mapping[str, Any]) -> BatchArguments:
    arguments: Any = given
    return load_specs(specs, arguments)


@pytest.fixture(params=[load_images, load_in_python], ids=["command", "python"])
def load(request: pytest.FixtureRequest) -> Load:
    loader: Load = request.param
    return loader


def test_a_name_that_two_files_have_is_written_with_its_file_though_one_is_picked(load: Load) -> None:
    images = load(["a.toml#job", "b.toml#api"], {})
    assert list(images.picked) == ["a.toml#job", "api"]
    assert list(images.others) == ["web", "b.toml#job"]


def test_an_image_that_is_named_twice_is_one(load: Load) -> None:
    images = load(["a.toml#web", "./a.toml#web", "a.toml"], {})
    assert (list(images.picked), list(images.others)) == (["web", "job"], [])


def test_each_file_is_read_once(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    read_tables = specfile.read_tables

    def count(path: Path) -> dict[str, Mapping[str, Any]]:
        read[str(path)] += 1
        return read_tables(path)

    monkeypatch.setattr(specfile, "read_tables", count)
    load(["a.toml#web", "b.toml", "a.toml#job"], {})
    assert read == {"a.toml": 1, "b.toml": 1}


def test_what_holds_for_all_images_takes_precedence_over_files(load: Load) -> None:
    images = load(["a.toml#web"], {"max_layers": 7})
    assert [each["max_layers"] for each in (*images.picked.values(), *images.others.values())] == [7, 7]
    assert load(["a.toml#web"], {}).picked["web"]["max_layers"] == 5


def test_a_value_that_is_replaced_is_not_checked(load: Load) -> None:
    Path("c.toml").write_text('[web]\ncontents = ["web"]\nmax_layers = "many"\n')
    assert load(["c.toml"], {"max_layers": 7}).picked["web"]["max_layers"] == 7
    with pytest.raises(InvalidArgument, match=r"c\.toml#web: max_layers"):
        load(["c.toml"], {})


def test_platforms_replace_the_architecture_of_a_table(load: Load) -> None:
    (web,) = load(["a.toml#web"], {"platforms": ("linux/arm64",)}).picked.values()
    assert web["platforms"] == ("linux/arm64",)
    assert "architecture" not in web


def test_a_table_or_a_file_that_is_missing_is_an_error(load: Load) -> None:
    with pytest.raises(InvalidArgument, match=r"a\.toml: got image 'wob', expected one of web, job"):
        load(["a.toml#wob"], {})
    with pytest.raises(InputError, match=r"none\.toml"):
        load(["a.toml", "none.toml"], {})


def test_none_is_no_argument() -> None:
    assert load_in_python(["a.toml#web"], {"max_layers": None}).picked["web"]["max_layers"] == 5


def test_one_file_may_be_a_path_and_several_may_be_any_iterable() -> None:
    specs: list[Specs] = [Path("a.toml"), "a.toml", iter([Path("a.toml")])]
    assert [list(load_specs(each, {}).picked) for each in specs] == [["web", "job"]] * 3


def test_arguments_of_an_image_take_precedence_over_those_for_all() -> None:
    images = load_specs({"web": {"max_layers": 3}, "api": {}}, {"max_layers": 7})
    assert [each["max_layers"] for each in images.picked.values()] == [3, 7]
