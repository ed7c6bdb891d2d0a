"""Laws of the narinfo."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.test_narinfo import NARINFO

from lamina.errors import FormatError
from lamina.formats import narinfo

LINES = NARINFO.splitlines()


def parses(text: str) -> bool:
    try:
        found = narinfo.parse(text)
    except FormatError:
        return False
    return found.fingerprint.startswith("1;/nix/store/")


@given(st.text())
@settings(deadline=None, max_examples=100)
def test_garbage_raises_format_error_and_nothing_else(text: str) -> None:
    assert not parses(text)
    parses(NARINFO + text)


@given(st.integers(0, len(NARINFO) - 1), st.characters())
@settings(deadline=None, max_examples=300)
def test_a_changed_character_is_refused_or_read(place: int, character: str) -> None:
    parses(NARINFO[:place] + character + NARINFO[place + 1 :])


@given(st.permutations(LINES))
@settings(deadline=None, max_examples=50)
def test_the_order_of_lines_means_nothing(lines: list[str]) -> None:
    found, first = narinfo.parse("\n".join(lines)), narinfo.parse(NARINFO)
    assert (found.info, found.url, found.compression) == (first.info, first.url, first.compression)
    assert sorted(found.signatures) == sorted(first.signatures)


@given(st.sampled_from(LINES).map(lambda line: line.partition(": ")[0]), st.text())
@settings(deadline=None, max_examples=300)
def test_any_value_is_refused_or_read(key: str, value: str) -> None:
    parses("\n".join(f"{key}: {value}" if line.startswith(key + ": ") else line for line in LINES))
