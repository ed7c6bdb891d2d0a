"""Laws of content addresses, of rewriting, and of scanning for references."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from lamina.core.names import NIX32, StorePath
from lamina.errors import InvalidArgument
from lamina.formats.content_address import ContentAddress, ModuloHash, Rewriter
from lamina.formats.hash_scanner import HashScanner

HASHES = st.sampled_from(["0c4a744h9ia7v9mig6h7vvwaf2lfcfsl", "0" * 32, "00000000000000000000000000000001"])
FRAGMENTS = HASHES.map(str.encode) | st.sampled_from([b"0", b"0c4a", b"0" * 31, b"-"]) | st.binary(max_size=40)
TEXTS = st.lists(FRAGMENTS, max_size=10).map(b"".join)
BASES = st.builds("{}-{}".format, st.text(NIX32, min_size=32, max_size=32), st.text("abc019+-._?=", min_size=1))
PATHS = st.frozensets(BASES.map(StorePath.parse_base), max_size=4)
ADDRESSES = st.sampled_from(
    [
        ("text", "sha256", 32),
        *[(method, *kind) for method in ("fixed", "fixed:r") for kind in (("md5", 16), ("sha1", 20), ("sha512", 64))],
        ("fixed", "sha256", 32),
        ("fixed:r", "sha256", 32),
    ]
).flatmap(
    lambda kind: st.binary(min_size=kind[2], max_size=kind[2]).map(lambda raw: ContentAddress(kind[0], kind[1], raw))
)


@given(ADDRESSES)
@examples(100)
def test_an_address_parses_back(found: ContentAddress) -> None:
    """``parse(str(x)) == x``."""
    assert ContentAddress.parse(str(found)) == found


@given(st.text() | st.builds("fixed:{}:{}".format, st.sampled_from(["sha256", "r:sha1", "md5"]), st.text(NIX32)))
@examples(200)
def test_any_text_is_an_address_or_invalid(text: str) -> None:
    try:
        found = ContentAddress.parse(text)
    except InvalidArgument:
        return
    assert ContentAddress.parse(str(found)) == found


@given(st.binary(min_size=32, max_size=32), PATHS, st.booleans())
@examples(100)
def test_a_path_does_not_depend_on_the_order_of_references(
    raw: bytes, paths: frozenset[StorePath], self_reference: bool
) -> None:
    found = ContentAddress("fixed:r", "sha256", raw)
    path = found.make_path("x", sorted(paths), self_reference)
    assert path == found.make_path("x", sorted(paths, reverse=True), self_reference)
    assert path != found.make_path("x", paths, not self_reference)


def split_randomly(text: bytes, data: st.DataObject) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(TEXTS, HASHES, HASHES, st.data())
@examples(300)
def test_rewriting_a_stream_equals_replacing_in_the_whole(text: bytes, old: str, new: str, data: st.DataObject) -> None:
    """A text is replaced from left to right, even if it spans two buffers."""
    rewriter = Rewriter(old.encode(), new.encode())
    done = b"".join((*map(rewriter.feed, split_randomly(text, data)), rewriter.close()))
    assert done == text.replace(old.encode(), new.encode())
    parts = text.split(old.encode())
    assert list(rewriter.offsets) == [sum(map(len, parts[:end])) + 32 * (end - 1) for end in range(1, len(parts))]


@given(TEXTS, HASHES, st.data())
@examples(200)
def test_a_hash_modulo_a_text_has_zeros_and_offsets(text: bytes, digits: str, data: st.DataObject) -> None:
    """The text is replaced by zero bytes, and ``|OFFSET`` follows for each (Nix source, HashModuloSink)."""
    modulo = ModuloHash(digits)
    for piece in split_randomly(text, data):
        modulo.feed(piece)
    whole, offsets, zeros = text, b"", bytes(32)
    while (offset := whole.find(digits.encode())) >= 0:
        whole = whole[:offset] + zeros + whole[offset + 32 :]
        offsets += b"|%d" % offset
    assert modulo.digest() == hashlib.sha256(whole + offsets).digest()


@given(TEXTS, st.sets(HASHES | st.text(NIX32, min_size=32, max_size=32), max_size=200), st.data())
@examples(200)
def test_hashes_are_found_exactly_if_they_occur(text: bytes, hashes: set[str], data: st.DataObject) -> None:
    """A hash is found exactly if its 32 digits occur in a row."""
    scanner = HashScanner(hashes)
    for piece in split_randomly(text, data):
        scanner.feed(piece)
    assert scanner.found == {digits for digits in hashes if digits.encode() in text}
