"""Which of the values of ``--store`` is the folder to work in."""

from pathlib import Path

import pytest
from tests.support.binary_cache import KEY, Cache
from tests.support.embedded_store import fetch_example

from lamina.cli.store.store_option import choose_destination, find_store_folder, resolve_store_folder, split_stores
from lamina.errors import InvalidArgument

URL = "https://cache.example.org"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data/lamina/store"


def test_a_new_an_empty_or_an_embedded_folder_is_worked_in(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fetch_example(tmp_path / "filled")
    for name in ("new", "empty", "filled"):
        assert split_stores([URL, str(tmp_path / name)]) == (str(tmp_path / name), (URL,))


def test_without_such_a_folder_it_is_the_one_of_the_user(tmp_path: Path, home: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    assert split_stores([URL, str(tmp_path / "other")]) == (str(home), (URL, str(tmp_path / "other")))
    assert split_stores([]) == (str(home), ())


def test_two_folders_are_refused_and_the_hint_names_a_url(tmp_path: Path) -> None:
    Cache(tmp_path / "cache")
    with pytest.raises(InvalidArgument, match="expected one folder to work in") as caught:
        split_stores([str(tmp_path / "new"), str(tmp_path / "cache")])
    assert f"file://{tmp_path}/cache" in caught.value.hint


def test_a_destination_is_named_or_that_of_the_user(tmp_path: Path, home: Path) -> None:
    fetch_example(tmp_path / "filled")
    assert choose_destination(str(tmp_path / "new"), [str(tmp_path / "filled")]) == str(tmp_path / "new")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    assert choose_destination(None, [URL, str(tmp_path / "other")]) == str(home)
    with pytest.raises(InvalidArgument, match=r"^to: got '.*', expected a folder$"):
        choose_destination(URL)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("new", "got nothing there, expected a store to read from"),
        ("empty", "got an empty folder, expected a store to read from"),
        ("filled", "got an embedded store without --to, expected a destination as well"),
    ],
)
def test_a_source_that_was_a_destination_in_earlier_versions_is_refused_without_one(
    name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    fetch_example(tmp_path / "filled")
    folder = tmp_path / name
    with pytest.raises(InvalidArgument) as caught:
        choose_destination(None, [URL, str(folder)])
    assert str(caught.value) == f"store {folder}: {message}"
    reading = f", --store file://{folder} reads from it" if name == "filled" else ""
    assert caught.value.hint == f"--to {folder} writes to it{reading}"


def test_a_folder_to_read_from_is_a_folder(tmp_path: Path, home: Path) -> None:
    assert find_store_folder(str(tmp_path)) == str(tmp_path)
    assert find_store_folder(None) is None
    home.mkdir(parents=True)
    assert find_store_folder(None) == str(home)
    with pytest.raises(InvalidArgument, match="expected the folder of an embedded store"):
        find_store_folder(URL)


@pytest.mark.parametrize("value", [str(KEY), "user:hunter2@cache.example.org"])
def test_a_secret_does_not_become_the_name_of_a_folder(value: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve_store_folder(value)
    assert value not in str(caught.value)
