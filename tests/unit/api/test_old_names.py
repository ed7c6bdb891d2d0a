"""Old names of public classes and functions."""

from pathlib import Path

import pytest

import lamina
from lamina.api import old_names


@pytest.mark.parametrize("old", [name for name in old_names._NEW_NAMES if name != "verify_ledger"])
def test_an_old_name_is_the_same_class_and_warns_with_the_new_name(old: str) -> None:
    new = old_names._NEW_NAMES[old]
    with pytest.warns(DeprecationWarning, match=f"lamina.{old} is called lamina.{new}"):
        assert getattr(lamina, old) is getattr(lamina, new)


def test_the_old_function_takes_the_old_argument(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="lamina.verify_layer_cache"):
        verify = lamina.verify_ledger
    assert verify(ledger=tmp_path / "none.sqlite").exists is False


def test_no_old_name_is_offered() -> None:
    assert not set(old_names._NEW_NAMES) & set(lamina.__all__)
