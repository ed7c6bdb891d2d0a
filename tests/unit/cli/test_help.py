"""``lamina help``."""

import pytest
from tests.support.fake_nix_store import run


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
