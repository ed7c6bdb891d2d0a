"""Which images of spec files a batch builds, and which are only planned together with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.cli.batch_images import load_images
from lamina.errors import InputError, InvalidArgument


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("a.toml").write_text('[web]\ncontents = ["web"]\nname = "shop/web"\n[job]\ncontents = ["job"]\n')
    Path("b.toml").write_text('[job]\ncontents = ["other"]\n[api]\ncontents = ["api"]\n')
    Path("one.toml").write_text('contents = ["one"]\nname = "one"\n')


def test_all_images_of_files_have_the_names_of_their_tables() -> None:
    images = load_images(["a.toml", "one.toml"], {})
    assert list(images.picked) == ["web", "job", "one.toml"]
    assert not images.others
    assert images.picked["web"]["contents"] == ("web",)
    assert "siblings" not in images.picked["web"]


def test_a_name_that_two_files_have_is_written_with_its_file() -> None:
    assert list(load_images(["a.toml", "b.toml"], {}).picked) == ["web", "a.toml#job", "b.toml#job", "api"]


def test_the_other_images_of_a_file_are_planned_with_those_that_are_picked() -> None:
    images = load_images(["a.toml#web", "b.toml#api", "a.toml#web"], {})
    assert list(images.picked) == ["web", "api"]
    assert list(images.others) == ["a.toml#job", "b.toml#job"]


def test_a_file_that_is_named_whole_and_in_part_is_built_whole() -> None:
    assert list(load_images(["a.toml#web", "a.toml"], {}).picked) == ["web", "job"]


def test_options_hold_for_every_image() -> None:
    images = load_images(["a.toml"], {"max_layers": 7, "platforms": ("linux/arm64",)})
    assert {(each["max_layers"], each["platforms"]) for each in images.picked.values()} == {(7, ("linux/arm64",))}


def test_a_table_or_a_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match=r"a\.toml: got image 'wob', expected one of web, job"):
        load_images(["a.toml#wob"], {})
    with pytest.raises(InputError, match=r"none\.toml"):
        load_images(["a.toml", "none.toml"], {})


def test_a_wrong_argument_names_its_table() -> None:
    Path("c.toml").write_text('[web]\ncontents = ["web"]\n[bad]\ncontents = ["web"]\nmaxLayers = "many"\n')
    with pytest.raises(InvalidArgument, match=r"c\.toml#bad: maxLayers"):
        load_images(["c.toml#web"], {})
