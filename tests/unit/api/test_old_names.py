"""Old names of public classes and functions."""

from pathlib import Path

import pytest

import lamina
from lamina.api import old_names
from lamina.stores.embedded.store import EmbeddedStore


@pytest.mark.parametrize("old", [name for name in old_names._NEW_NAMES if name != "verify_ledger"])
def test_an_old_name_is_the_same_class_and_warns_with_the_new_name(old: str) -> None:
    new = old_names._NEW_NAMES[old]
    with pytest.warns(DeprecationWarning, match=f"lamina.{old} is called lamina.{new}"):
        assert getattr(lamina, old) is getattr(lamina, new)


def test_the_old_function_takes_the_old_argument(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="lamina.verify_layer_cache"):
        verify = lamina.verify_ledger  # type: ignore[attr-defined]
    assert verify(ledger=tmp_path / "none.sqlite").exists is False


def test_no_old_name_is_offered() -> None:
    assert not set(old_names._NEW_NAMES) & set(dir(lamina))


def test_functions_of_the_embedded_store_take_their_old_arguments(tmp_path: Path) -> None:
    store = EmbeddedStore.open_or_create(tmp_path / "store").folder
    with pytest.warns(DeprecationWarning, match="the argument everything is called all_paths"):
        result = lamina.collect_garbage(embedded_store=store, everything=True)  # type: ignore[call-arg]
    assert result == lamina.collect_garbage(embedded_store=store, all_paths=True)
    with (
        pytest.warns(DeprecationWarning, match="everything"),
        pytest.raises(lamina.InvalidArgument, match=r"^everything: got it and all_paths, expected only one"),
    ):
        lamina.collect_garbage(embedded_store=store, everything=True, all_paths=True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("export_paths", "everything"),
        ("push_paths", "everything"),
        ("sign_paths", "everything"),
        ("import_paths", "tell"),
        ("push_paths", "tell"),
    ],
)
def test_each_old_argument_is_known_to_its_function(name: str, old: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"the argument {old} is called"), pytest.raises(TypeError):
        getattr(lamina, name)(**{old: str})
