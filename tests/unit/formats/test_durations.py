"""Durations in Go's form."""

from __future__ import annotations

import pytest

from lamina.formats.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30s", 30_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1h", 3_600_000_000_000),
        ("1.5s", 1_500_000_000),
        ("500ms", 500_000_000),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("7ns", 7),
        ("0", 0),
    ],
)
def test_a_duration_is_a_number_of_nanoseconds(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "30", "s", "30 s", "-1s", "1d", "1s2", "30s\n", "1" * 200 + "s", "１s"])
def test_other_texts_are_no_durations(text: str) -> None:
    assert parse_duration(text) is None
