"""Callbacks that do nothing."""

from lamina.core import callbacks


def test_ignored_values_have_no_effect() -> None:
    assert callbacks.ignore() is callbacks.ignore("a", 1) is None  # type: ignore[func-returns-value]


def test_every_value_is_accepted() -> None:
    assert callbacks.accept(None)
