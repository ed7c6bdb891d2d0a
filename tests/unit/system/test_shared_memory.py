"""Memory that several processes share, divided into ranges."""

import os

import pytest

from lamina.system.shared_memory import SharedBuffer, map_buffer

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create")


def test_the_first_gap_that_fits_is_taken() -> None:
    buffer = SharedBuffer(100)
    first, second, third = (buffer.allocate(30) for _ in range(3))
    assert first
    assert second
    assert third
    assert [first.offset, second.offset, third.offset] == [0, 30, 60]
    assert buffer.allocate(11) is None
    buffer.free(second)
    again = buffer.allocate(11)
    assert again
    assert again.offset == 30
    assert buffer.allocate(20) is None
    buffer.close()


def test_another_mapping_of_the_buffer_sees_the_same_bytes() -> None:
    buffer, other = SharedBuffer(4096), SharedBuffer(4096)
    region = buffer.allocate(5)
    assert region
    with buffer.view(region) as view:
        map_buffer(region.fd)[region.offset : region.offset + 5] = b"hello"
        assert bytes(view) == b"hello"
    assert map_buffer(buffer.fd) is map_buffer(buffer.fd)
    assert bytes(map_buffer(other.fd)[:5]) == bytes(5)
    buffer.close()
    other.close()


def test_a_buffer_is_closed_while_a_view_is_in_use() -> None:
    buffer = SharedBuffer(10)
    region = buffer.allocate(10)
    assert region
    view = buffer.view(region)
    buffer.close()
    assert bytes(view) == bytes(10)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(buffer.fd)
