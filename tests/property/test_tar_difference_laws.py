"""Laws of the comparison of a layer with the tar that its store paths give."""

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.image_files import tar

from lamina.images.tar_difference import TarDifference, find_difference

LAW = examples(300)
NAME = "/nix/store/" + "0" * 32 + "-hello"
EXPECTED = tar({"/nix": None, "/nix/store": None, NAME: None, f"{NAME}/a": b"a" * 600, f"{NAME}/b": "a"})


def compare(actual: bytes, size: int) -> TarDifference | None:
    return find_difference(
        lambda: iter([EXPECTED]), lambda: (actual[start : start + size] for start in range(0, len(actual), size))
    )


@LAW
@given(st.integers(0, len(EXPECTED) - 1), st.integers(1, 255), st.integers(1, 2000))
def test_any_byte_that_changes_is_found(position: int, mask: int, size: int) -> None:
    """One difference in the bytes is one difference in a file, whatever the field or padding that it is in."""
    data = bytearray(EXPECTED)
    data[position] ^= mask
    found = compare(bytes(data), size)
    assert found
    assert found.got
    assert found.file


@LAW
@given(st.integers(0, len(EXPECTED)), st.binary(max_size=3000), st.integers(1, 2000))
def test_only_equal_bytes_have_no_difference(start: int, data: bytes, size: int) -> None:
    """Bytes that are no tar have a difference too, and raise no error."""
    actual = EXPECTED[:start] + data
    assert (compare(actual, size) is None) == (actual == EXPECTED)
