"""Laws of the memory that processes share."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.system.shared_memory import BufferRange, SharedBuffer, map_buffer

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memory without a name")
SIZE = 1000


@given(st.lists(st.one_of(st.integers(1, SIZE + 1), st.just(0)), max_size=40))
def test_places_lie_inside_and_never_over_one_another(wanted: list[int]) -> None:
    """What is taken is as large as was asked, within the spool, and nobody else's until it is given back; a place is
    refused only where no gap is large enough. 0 stands for giving one back.
    """
    spool = SharedBuffer(SIZE)
    taken: list[BufferRange] = []
    try:
        for size in wanted:
            if size == 0:
                if taken:
                    spool.free(taken.pop(len(taken) // 2))
                continue
            region = spool.allocate(size)
            edges = sorted((other.offset, other.offset + other.size) for other in taken)
            ends, starts = [0, *(end for _, end in edges)], [*(start for start, _ in edges), SIZE]
            largest = max(start - end for end, start in zip(ends, starts, strict=True))
            assert (region is None) == (size > largest)
            if region:
                assert region.size == size
                assert 0 <= region.offset <= SIZE - size
                assert all(region.offset >= end or region.offset + size <= start for start, end in edges)
                taken.append(region)
    finally:
        spool.close()


def test_what_is_laid_down_by_its_number_is_what_is_seen() -> None:
    spool = SharedBuffer(SIZE)
    region = spool.allocate(10)
    assert region
    map_buffer(region.fd)[region.offset : region.offset + 10] = b"0123456789"
    with spool.view(region) as view:
        assert bytes(view) == b"0123456789"
    spool.close()


def test_another_spool_under_the_same_number_is_not_taken_for_the_last() -> None:
    """A descriptor's number is used again as soon as it is closed."""
    for content in (b"first", b"other"):
        spool = SharedBuffer(SIZE)
        region = spool.allocate(5)
        assert region
        map_buffer(region.fd)[:5] = content
        with spool.view(region) as view:
            assert bytes(view) == content
        spool.close()
