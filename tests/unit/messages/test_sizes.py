"""Sizes as people read them."""

import pytest

from lamina.messages.sizes import format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 << 10, "1.5 MiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 50, "5120 TiB"),
        (912 << 20, "912 MiB"),
        (102_350, "100 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
    ],
)
def test_a_size_has_a_binary_unit(size: int, text: str) -> None:
    assert format_size(size) == text
