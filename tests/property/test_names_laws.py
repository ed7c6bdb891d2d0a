"""Laws of names: digests, store paths, image references and dates."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from lamina.core.names import (
    NIX32,
    Digest,
    ImageReference,
    StorePath,
    dump_nix32,
    parse_datetime,
    parse_nix32,
    parse_repository,
    parse_tag,
)
from lamina.errors import InvalidArgument

LAW = examples(200)

PARSERS: tuple[Callable[[str], object], ...] = (
    Digest.parse,
    Digest.from_hex,
    StorePath.parse,
    StorePath.parse_base,
    StorePath.split,
    ImageReference.parse,
    parse_repository,
    parse_tag,
    parse_datetime,
    lambda text: parse_nix32(text, 20),
)
STORE_PATHS = st.builds(
    lambda digits, name: f"/nix/store/{digits}-{name}",
    st.text(NIX32, min_size=32, max_size=32),
    st.from_regex(r"[0-9a-zA-Z+\-._?=]{1,211}", fullmatch=True),
)
# The grammar of distribution/reference for the part after the host.
REFERENCES = st.from_regex(
    r"(?:[a-z0-9]{1,5}(?:\.[a-z0-9]{1,5}){0,2}(?::[0-9]{1,5})?/)?[a-z0-9]{1,5}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}:"
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
    fullmatch=True,
)
# Close to valid texts, so that parsers do not fail at the first character.
NEARLY_VALID = st.one_of(
    st.text(),
    st.text("0123456789abcdfghijklmnpqrsvwxyz-/.:=+TZ\u0661\n\0\udc80e", max_size=70),
    st.text("0123456789abcdf", min_size=50, max_size=66).map("sha256:".__add__),
    st.text("ABCabc019+/=-_\n", min_size=40, max_size=46).map("sha256-".__add__),
    st.text("0123456789-:+.TZW ", max_size=35).map("2026-01-".__add__),
    STORE_PATHS.map(lambda text: text + "/.."),
)


@given(st.binary(max_size=70))
@LAW
def test_nix32_parses_back(raw: bytes) -> None:
    text = dump_nix32(raw)
    assert parse_nix32(text, len(raw)) == raw
    assert len(text) == -(-len(raw) * 8 // 5)
    assert set(text) <= set(NIX32)


@given(st.text(NIX32, min_size=52, max_size=52))
@LAW
def test_nix32_has_one_encoding_for_each_value(text: str) -> None:
    try:
        raw = parse_nix32(text, 32)
    except InvalidArgument:
        assert text[0] not in "01"
    else:
        assert dump_nix32(raw) == text


@given(st.binary(min_size=32, max_size=32))
@LAW
def test_a_digest_parses_back_from_each_encoding(raw: bytes) -> None:
    """``parse(str(x)) == x`` for every encoding."""
    digest = Digest(raw)
    assert {Digest.parse(text) for text in (str(digest), digest.nix32, digest.sri)} == {digest}


@given(STORE_PATHS)
@LAW
def test_a_store_path_parses_back(text: str) -> None:
    """``str(parse(text)) == text`` and ``parse(str(x)) == x``."""
    path = StorePath.parse(text)
    assert str(path) == text
    assert StorePath.split(text + "/a//b/") == (path, "a/b")
    assert f"{path.hash}-{path.name}" == path.base


@given(STORE_PATHS)
@LAW
def test_the_package_ends_at_the_first_dash_that_no_letter_follows(text: str) -> None:
    """Nix's parseDrvName splits at the first dash that is not followed by a letter or by the end."""
    name = StorePath.parse(text).name
    ends = [index for index in range(len(name) - 1) if name[index] == "-" and not name[index + 1].isalpha()]
    assert StorePath.parse(text).package == name[: ends[0] if ends else len(name)]


@given(st.lists(STORE_PATHS, max_size=5))
@LAW
def test_store_paths_sort_as_text(texts: list[str]) -> None:
    assert [str(path) for path in sorted(map(StorePath.parse, texts))] == sorted(texts)


@given(REFERENCES)
@LAW
def test_a_reference_parses_back(text: str) -> None:
    """``parse(str(x)) == x``; names are converted to lower case, and tags are unchanged."""
    reference = ImageReference.parse(text)
    assert str(reference) == text
    assert ImageReference.parse(str(reference)) == reference
    assert parse_repository(reference.repository.upper()) == reference.repository


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001 - the zone comes from below
    st.one_of(st.none(), st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
)
@LAW
def test_a_datetime_parses_back(naive: datetime, zone: timezone | None) -> None:
    """``parse(str(x)) == x``; fractions of a second are rounded down."""
    moment = naive.replace(tzinfo=zone)
    parsed = parse_datetime(moment.isoformat())
    assert timedelta(0) <= moment.replace(tzinfo=zone or parsed.tzinfo) - parsed < timedelta(seconds=1)
    assert parse_datetime(parsed.isoformat()) == parsed
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", parsed.isoformat())


@pytest.mark.parametrize("parser", PARSERS)
@given(text=NEARLY_VALID)
@examples(100)
def test_garbage_raises_invalid_argument_and_nothing_else(parser: Callable[[str], object], text: str) -> None:
    """Garbage raises `InvalidArgument`, whose message is one line."""
    message = ""
    try:
        parser(text)
    except InvalidArgument as error:
        message = str(error)
    assert "\n" not in message
