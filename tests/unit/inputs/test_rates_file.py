"""Files of rates, in TOML and JSON."""

from fractions import Fraction
from pathlib import Path

import pytest

from lamina.errors import Error, FormatError, InputError, InvalidArgument
from lamina.inputs.rates_file import load

RATES = (("glibc", Fraction(1, 2)), ("python3^*", Fraction(2)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rates.toml", '"glibc" = 0.5\n"python3^*" = 2\n'),
        ("rates", "glibc = 0.5 # rarely\n'python3^*' = 2.0\n"),
        ("rates.json", '{"glibc": 0.5, "python3^*": 2}'),
    ],
)
def test_each_format_gives_the_same_rates_in_their_order(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert load(str(tmp_path / name)) == RATES


@pytest.mark.parametrize(
    ("name", "text", "kind", "message"),
    [
        ("rates.toml", "glibc = fast", FormatError, "patterns and their rates in TOML"),
        ("rates.json", "[1]", FormatError, "got a list, expected patterns and their rates"),
        (
            "rates.toml",
            "glibc = 'fast'",
            InvalidArgument,
            "rates.toml: glibc: got 'fast', expected a number from 0.001",
        ),
        ("rates.toml", "[python3]\nminor = 2", InvalidArgument, "rates.toml: python3: got {'minor': 2}, expected a"),
        ("rates.toml", "'a/b' = 1", InvalidArgument, "rates.toml: got 'a/b', expected patterns"),
    ],
)
def test_an_error_names_the_file(tmp_path: Path, name: str, text: str, kind: type[Error], message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(kind) as raised:
        load(str(tmp_path / name))
    assert str(raised.value).startswith(f"rates {tmp_path}/{name}")
    assert message in str(raised.value)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected patterns and their rates"):
        load(str(tmp_path / "none.toml"))
