"""``lamina help``."""

import pytest
from click.testing import CliRunner
from tests.support.fake_nix_store import run

from lamina.cli.group import group


@pytest.mark.parametrize(
    "words", [[], ["build"], ["store"], ["store", "fetch"], ["store", "key", "generate"], ["help"]]
)
def test_help_is_the_same_as_the_option(words: list[str]) -> None:
    ran = run("help", *words)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == run(*words, "--help").stdout


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["build", "x"], "usage: got 'x' after lamina build, expected no such word"),
        (["-x"], "usage: got option -x, expected an option of lamina help"),
    ],
)
def test_what_is_no_verb_has_no_help(words: list[str], error: str) -> None:
    ran = run("help", *words)
    assert (ran.code, ran.error) == (2, error)


@pytest.mark.parametrize("width", [40, 50])
def test_lines_fit_on_a_narrow_terminal_except_examples(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = CliRunner().invoke(group, ["store", "fetch", "--help"]).output.splitlines()
    assert [line for line in lines if len(line) > width and not line.startswith("  lamina ")] == []
