"""Laws of the memory that processes share."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.system.shared_memory import Place, Spool, laid_open

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memory without a name")
SIZE = 1000


@given(st.lists(st.one_of(st.integers(1, SIZE + 1), st.just(0)), max_size=40))
def test_places_lie_inside_and_never_over_one_another(wanted: list[int]) -> None:
    """What is taken is as large as was asked, within the spool, and nobody else's until it is given back; a place is
    refused only where no gap is large enough. 0 stands for giving one back.
    """
    spool = Spool(SIZE)
    taken: list[Place] = []
    try:
        for size in wanted:
            if size == 0:
                if taken:
                    spool.give(taken.pop(len(taken) // 2))
                continue
            place = spool.take(size)
            edges = sorted((other.offset, other.offset + other.size) for other in taken)
            ends, starts = [0, *(end for _, end in edges)], [*(start for start, _ in edges), SIZE]
            largest = max(start - end for end, start in zip(ends, starts, strict=True))
            assert (place is None) == (size > largest)
            if place:
                assert place.size == size
                assert 0 <= place.offset <= SIZE - size
                assert all(place.offset >= end or place.offset + size <= start for start, end in edges)
                taken.append(place)
    finally:
        spool.close()


def test_what_is_laid_down_by_its_number_is_what_is_seen() -> None:
    spool = Spool(SIZE)
    place = spool.take(10)
    assert place
    laid_open(place.number)[place.offset : place.offset + 10] = b"0123456789"
    with spool.view(place) as view:
        assert bytes(view) == b"0123456789"
    spool.close()


def test_another_spool_under_the_same_number_is_not_taken_for_the_last() -> None:
    """A descriptor's number is used again as soon as it is closed."""
    for content in (b"first", b"other"):
        spool = Spool(SIZE)
        place = spool.take(5)
        assert place
        laid_open(place.number)[:5] = content
        with spool.view(place) as view:
            assert bytes(view) == content
        spool.close()
