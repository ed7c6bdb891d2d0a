"""Writing through a descriptor: all bytes are written in order, even if the system accepts only a few at a time."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lamina.core.nodes import Extent
from lamina.errors import OutputError
from lamina.system.fd_writer import FdWriter, FunctionOutput
from lamina.system.transfer import copy

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for fd in (read_end, write_end):
        try:
            os.close(fd)
        except OSError:
            continue


def start_reader(read_end: int, into: bytearray) -> Thread:
    """Start a thread that reads in small portions."""

    def read() -> None:
        while data := os.read(read_end, 1000):
            into.extend(data)

    thread = Thread(target=read)
    thread.start()
    return thread


def extent(file: Path) -> Extent:
    status = file.stat()
    return Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_slow_pipe_gets_all_bytes(pipe: tuple[int, int], blocks: bool, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    os.set_blocking(pipe[1], blocks)
    taken = bytearray()
    reader = start_reader(pipe[0], taken)
    out = FdWriter(pipe[1], "pipe")
    out.write(memoryview(CONTENT))
    out.write_many([CONTENT[:10], b"", CONTENT[10:]])
    assert copy([extent(file)], out) == len(CONTENT)
    os.close(pipe[1])
    reader.join()
    assert taken == CONTENT * 3


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_a_file_gets_the_bytes_of_all_pieces(tmp_path: Path, flags: int) -> None:
    """The kernel does not copy to a file opened for appending, so the writer reads and writes itself."""
    file, target = tmp_path / "file", tmp_path / "target"
    file.write_bytes(CONTENT)
    target.write_bytes(b"before")
    fd = os.open(target, os.O_WRONLY | flags)
    os.lseek(fd, 0, os.SEEK_END)
    try:
        size = copy([b"head", extent(file), b"tail"], FdWriter(fd, "target"))
    finally:
        os.close(fd)
    assert size == len(CONTENT) + 8
    assert target.read_bytes() == b"beforehead" + CONTENT + b"tail"


def test_a_range_of_a_file_is_sent_from_its_offset(tmp_path: Path, pipe: tuple[int, int]) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    taken = bytearray()
    reader = start_reader(pipe[0], taken)
    copy([extent(file).part(5, 300_000), extent(file).part(7, 9)], FdWriter(pipe[1], "pipe"))
    os.close(pipe[1])
    reader.join()
    assert taken == CONTENT[5:300_005] + CONTENT[7:16]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_device_is_an_output_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        for pieces in ([b"x"], [extent(file)]):
            with pytest.raises(OutputError, match=r"^disk: got No space left on device, expected to write"):
                copy(pieces, FdWriter(fd, "disk"))
    finally:
        os.close(fd)


def test_a_pipe_without_a_reader_is_an_output_error(tmp_path: Path, pipe: tuple[int, int]) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    os.close(pipe[0])
    out = FdWriter(pipe[1], "pipe")
    for pieces in ([b"x"], [b"x", b"y"], [extent(file)]):
        with pytest.raises(OutputError) as caught:
            copy(pieces, out)
        assert isinstance(caught.value.__cause__, BrokenPipeError)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files are read and written")
def test_a_large_file_does_not_pass_through_this_process(tmp_path: Path, pipe: tuple[int, int]) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    taken = bytearray()
    reader = start_reader(pipe[0], taken)
    fd = os.open(file, os.O_RDONLY)
    left = len(CONTENT)
    while left:
        sent = FdWriter(pipe[1], "pipe").send_file(fd, left)
        assert sent > 0
        left -= sent
    assert FdWriter(pipe[1], "pipe").send_file(fd, 1) == 0, "at its end"
    os.close(fd)
    os.close(pipe[1])
    reader.join()
    assert taken == CONTENT


def test_an_output_that_only_writes_gets_all_bytes_of_all_pieces(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    taken = bytearray()
    out = FunctionOutput(taken.extend)
    assert not out.is_zero_copy
    assert copy([b"head", extent(file), extent(file).part(7, 9), b"tail"], out) == len(taken)
    assert taken == b"head" + CONTENT + CONTENT[7:16] + b"tail"


def test_an_output_is_closed_at_the_end_of_its_block_unless_that_fails() -> None:
    closed = []

    class Buffering(FunctionOutput):
        def close(self) -> None:
            closed.append(self)

    with Buffering(len) as good:
        good.write(memoryview(b"x"))
    with pytest.raises(KeyError), Buffering(len):
        raise KeyError
    assert closed == [good]
