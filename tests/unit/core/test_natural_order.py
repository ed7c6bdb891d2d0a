"""The natural order of texts with numbers."""

import pytest

from lamina.core.natural_order import natural_key


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.9", "1.10", "2", "latest"],
        ["app-1.tar", "app-2.tar", "app-10.tar"],
        ["v1", "v2-rc1", "v10"],
        ["", "0", "1" * 99, "1" * 101, "a"],
    ],
)
def test_numbers_are_compared_by_value(ordered: list[str]) -> None:
    assert sorted(sorted(ordered, reverse=True), key=natural_key) == ordered


def test_any_number_of_digits_can_be_compared() -> None:
    assert sorted(["9" * 20_000, "1"], key=natural_key) == ["1", "9" * 20_000]
