"""Laws of memory that processes share."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.system.shared_memory import BufferRange, SharedBuffer, map_buffer

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create")
SIZE = 1000


@given(st.lists(st.one_of(st.integers(1, SIZE + 1), st.just(0)), max_size=40))
def test_ranges_are_inside_the_buffer_and_do_not_overlap(sizes: list[int]) -> None:
    """A range has the requested size, is inside the buffer and overlaps no other range until it is freed.

    A request is refused only if no gap is large enough. The size 0 frees a range.
    """
    buffer = SharedBuffer(SIZE)
    allocated: list[BufferRange] = []
    try:
        for size in sizes:
            if size == 0:
                if allocated:
                    buffer.free(allocated.pop(len(allocated) // 2))
                continue
            region = buffer.allocate(size)
            edges = sorted((other.offset, other.offset + other.size) for other in allocated)
            ends, starts = [0, *(end for _, end in edges)], [*(start for start, _ in edges), SIZE]
            largest = max(start - end for end, start in zip(ends, starts, strict=True))
            assert (region is None) == (size > largest)
            if region:
                assert region.size == size
                assert 0 <= region.offset <= SIZE - size
                assert all(region.offset >= end or region.offset + size <= start for start, end in edges)
                allocated.append(region)
    finally:
        buffer.close()


def test_bytes_written_by_descriptor_are_visible() -> None:
    buffer = SharedBuffer(SIZE)
    region = buffer.allocate(10)
    assert region
    map_buffer(region.fd)[region.offset : region.offset + 10] = b"0123456789"
    with buffer.view(region) as view:
        assert bytes(view) == b"0123456789"
    buffer.close()


def test_a_new_buffer_with_the_same_descriptor_is_not_confused_with_the_old() -> None:
    """The number of a descriptor is reused as soon as it is closed."""
    for content in (b"first", b"other"):
        buffer = SharedBuffer(SIZE)
        region = buffer.allocate(5)
        assert region
        map_buffer(region.fd)[:5] = content
        with buffer.view(region) as view:
            assert bytes(view) == content
        buffer.close()
