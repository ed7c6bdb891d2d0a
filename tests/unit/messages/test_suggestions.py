"""Words that are suggested in place of a misspelled one."""

import pytest

from lamina.messages.suggestions import find_similar, format_suggestion

VERBS = ("stream", "build", "script", "plan", "inspect", "merge", "export", "store", "cache")
OPTIONS = ("--output", "--quiet", "--volume", "--user", "--uid", "--uname", "--store", "--no-store-paths")
KEYS = ("contents", "config", "maxLayers", "closure", "created")


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("strem", VERBS, ("stream",)),
        ("paln", VERBS, ("plan",)),
        ("stor", VERBS, ("store",)),
        ("hello", VERBS, ()),
        ("--ouput", OPTIONS, ("--output",)),
        ("--out", OPTIONS, ("--output",)),
        ("--unme", OPTIONS, ("--uname",)),
        ("--xyz", OPTIONS, ()),
        ("content", KEYS, ("contents",)),
        ("max-layer", KEYS, ("maxLayers",)),
        ("x" * 100_000, KEYS, ()),
        ("", KEYS, ()),
        ("anything", (), ()),
    ],
)
def test_only_near_words_are_suggested(word: str, known: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert find_similar(word, known) == expected


def test_two_words_that_are_equally_near_are_both_suggested() -> None:
    assert find_similar("--sore", ("--store", "--score", "--snore")) == ("--score", "--snore")


def test_a_suggestion_is_a_question() -> None:
    assert format_suggestion("strem", VERBS) == "did you mean stream?"
    assert format_suggestion("sore", ("store", "score")) == "did you mean score or store?"
    assert format_suggestion("hello", VERBS) == ""
