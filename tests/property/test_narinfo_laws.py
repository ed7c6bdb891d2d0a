"""Laws of narinfos."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.unit.formats.test_narinfo import NARINFO

from lamina.core.names import NIX32, Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError
from lamina.formats import narinfo
from lamina.formats.narinfo import NarInfo

LINES = NARINFO.splitlines()


def is_narinfo(text: str) -> bool:
    try:
        found = narinfo.parse(text)
    except FormatError:
        return False
    assert narinfo.parse(found.dump()) == found
    return found.fingerprint.startswith("1;/nix/store/")


@given(st.text())
@examples(100)
def test_garbage_raises_format_error_and_nothing_else(text: str) -> None:
    assert not is_narinfo(text)
    is_narinfo(NARINFO + text)


@given(st.integers(0, len(NARINFO) - 1), st.characters())
@examples(300)
def test_a_changed_character_is_refused_or_parsed(index: int, character: str) -> None:
    is_narinfo(NARINFO[:index] + character + NARINFO[index + 1 :])


@given(st.permutations(LINES))
@examples(50)
def test_the_order_of_lines_does_not_matter(lines: list[str]) -> None:
    found, first = narinfo.parse("".join(f"{line}\n" for line in lines)), narinfo.parse(NARINFO)
    assert (found.info, found.url, found.compression) == (first.info, first.url, first.compression)
    assert sorted(found.signatures) == sorted(first.signatures)


@given(st.sampled_from(LINES).map(lambda line: line.partition(": ")[0]), st.text())
@examples(300)
def test_any_value_is_refused_or_parsed(key: str, value: str) -> None:
    lines = (f"{key}: {value}" if line.startswith(key + ": ") else line for line in LINES)
    is_narinfo("".join(f"{line}\n" for line in lines))


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
BASES = st.builds(
    "{}-{}".format, st.text(NIX32, min_size=32, max_size=32), st.text("abcXYZ019+-._?=", min_size=1, max_size=20)
)
PATHS = BASES.map(StorePath.parse_base)
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
SIZES = st.integers(1, (1 << 63) - 1)
INFOS = st.builds(PathInfo, PATHS, DIGESTS, SIZES, st.frozensets(PATHS, max_size=5))
# No names of known fields.
EXTRA_FIELDS = st.dictionaries(WORDS.filter(bool).map(lambda word: "X-" + word.replace(":", "")), WORDS, max_size=4)
NARINFOS = st.builds(
    NarInfo,
    INFOS,
    st.lists(st.text("abc.-?= ü", min_size=1).filter(lambda part: part != ".."), min_size=1, max_size=3).map("/".join),
    st.sampled_from(["none", "xz", "bzip2", "zstd"]),
    st.lists(WORDS, max_size=3).map(tuple),
    st.none() | DIGESTS,
    st.none() | SIZES,
    st.just("") | BASES,
    WORDS,
    EXTRA_FIELDS.map(lambda extra_fields: tuple(extra_fields.items())),
)


@given(NARINFOS)
@examples(200)
def test_a_narinfo_parses_back(found: NarInfo) -> None:
    """``parse(found.dump()) == found``."""
    assert narinfo.parse(found.dump()) == found


@given(NARINFOS)
@examples(50)
def test_the_fingerprint_depends_only_on_the_path_info(found: NarInfo) -> None:
    """The fingerprint has path, NAR hash, NAR size and references, and nothing else."""
    assert NarInfo(found.info, "x", "none", ()).fingerprint == found.fingerprint


@pytest.mark.parametrize("unit", ["\n", ":", "a: b\n", "Sig: a:b\n", "x" * 10, " ", "References: ", "\r"])
def test_a_long_text_takes_linear_time(unit: str) -> None:
    """Garbage is refused in linear time; quadratic time would be hours."""
    is_narinfo(NARINFO + unit * (1_000_000 // len(unit)))
    is_narinfo(NARINFO.replace("Sig: ", "Sig: " + unit.replace("\n", "") * 500_000))
