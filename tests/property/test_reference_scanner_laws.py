"""Laws of scanning for references."""

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from lamina.core.names import NIX32, StorePath
from lamina.errors import InvalidArgument
from lamina.formats.reference_scanner import ReferenceScanner, scan_references

HASHES = st.sampled_from(["0c4a744h9ia7v9mig6h7vvwaf2lfcfsl", "1hc42b37ja6apgn550a10ikj6vb9db1n", "0" * 32])
FRAGMENTS = st.one_of(
    st.sampled_from([b"/nix/store/", b"/nix/store", b"nix/store/", b"/", b"-", b"x" * 211, b"\xff", b"\n", b"e", b"0"]),
    HASHES.map(str.encode),
    st.builds("/nix/store/{}-{}".format, HASHES, st.sampled_from(["a", "b-1", "x" * 211, "y" * 300])).map(str.encode),
    st.binary(max_size=40),
)
TEXTS = st.lists(FRAGMENTS, max_size=12).map(b"".join)


@given(TEXTS, st.data())
@examples(200)
def test_the_sizes_of_buffers_do_not_matter(text: bytes, data: st.DataObject) -> None:
    """A reference is found anywhere in the text, even if it spans two buffers."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    found = ReferenceScanner()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found.feed(text[start:end])
    found.close()
    whole = scan_references(text)
    assert found.paths == whole.paths
    assert found.hashes == whole.hashes


@given(TEXTS)
@examples(200)
def test_hashes_and_paths_are_found_exactly_if_they_occur(text: bytes) -> None:
    """Nix searches for hashes only; this scanner also finds full paths, ``/nix/store/HASH-NAME``."""
    found = scan_references(text)
    windows = {text[offset : offset + 32] for offset in range(len(text) - 31)}
    assert found.hashes == {window.decode() for window in windows if set(window) <= set(NIX32.encode())}
    assert found.paths == {
        StorePath.parse_base(name.decode())
        for offset in range(len(text))
        if text.startswith(b"/nix/store/", offset)
        if (name := longest_name(text[offset + len("/nix/store/") :]))
    }


def longest_name(text: bytes) -> bytes:
    """Return the longest prefix of ``text`` that is a valid base name of a store path."""
    ends = (end for end in range(min(len(text), 32 + 1 + 211), 0, -1) if is_name(text[:end]))
    return text[: next(ends, 0)]


def is_name(text: bytes) -> bool:
    try:
        StorePath.parse_base(text.decode("latin-1"))
    except InvalidArgument:
        return False
    return True
