"""Where bytes leave: all of them, in their order, however little is taken at a time."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lamina.core.nodes import Extent
from lamina.errors import OutputError
from lamina.system.fd_writer import FdWriter
from lamina.system.transfer import copy

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    outlet, inlet = os.pipe()
    yield outlet, inlet
    for number in (outlet, inlet):
        try:
            os.close(number)
        except OSError:
            continue


def drained(outlet: int, into: bytearray) -> Thread:
    """A reader that takes what comes in small portions."""

    def read() -> None:
        while data := os.read(outlet, 1000):
            into.extend(data)

    thread = Thread(target=read)
    thread.start()
    return thread


def extent(file: Path) -> Extent:
    status = file.stat()
    return Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_pipe_that_takes_little_gets_all_of_it(pipe: tuple[int, int], blocks: bool, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    os.set_blocking(pipe[1], blocks)
    taken = bytearray()
    reader = drained(pipe[0], taken)
    out = FdWriter(pipe[1], "pipe")
    out(memoryview(CONTENT))
    out.write_parts([CONTENT[:10], b"", CONTENT[10:]])
    assert copy([extent(file)], out) == len(CONTENT)
    os.close(pipe[1])
    reader.join()
    assert taken == CONTENT * 3


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_a_file_gets_bytes_and_files_alike(tmp_path: Path, flags: int) -> None:
    """The kernel sends nothing to a file that is appended to; then it is read and written."""
    file, target = tmp_path / "file", tmp_path / "target"
    file.write_bytes(CONTENT)
    target.write_bytes(b"before")
    number = os.open(target, os.O_WRONLY | flags)
    os.lseek(number, 0, os.SEEK_END)
    try:
        size = copy([b"head", extent(file), b"tail"], FdWriter(number, "target"))
    finally:
        os.close(number)
    assert size == len(CONTENT) + 8
    assert target.read_bytes() == b"beforehead" + CONTENT + b"tail"


def test_a_range_of_a_file_is_sent_from_where_it_begins(tmp_path: Path, pipe: tuple[int, int]) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    taken = bytearray()
    reader = drained(pipe[0], taken)
    copy([extent(file).part(5, 300_000), extent(file).part(7, 9)], FdWriter(pipe[1], "pipe"))
    os.close(pipe[1])
    reader.join()
    assert taken == CONTENT[5:300_005] + CONTENT[7:16]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_an_output_that_is_full_is_an_error_about_the_output(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    number = os.open("/dev/full", os.O_WRONLY)
    try:
        for pieces in ([b"x"], [extent(file)]):
            with pytest.raises(OutputError, match=r"^disk: got No space left on device, expected to write"):
                copy(pieces, FdWriter(number, "disk"))
    finally:
        os.close(number)


def test_a_pipe_that_nobody_reads_is_an_error_that_says_so(tmp_path: Path, pipe: tuple[int, int]) -> None:
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
    reader = drained(pipe[0], taken)
    number = os.open(file, os.O_RDONLY)
    left = len(CONTENT)
    while left:
        sent = FdWriter(pipe[1], "pipe").send_file(number, left)
        assert sent > 0
        left -= sent
    assert FdWriter(pipe[1], "pipe").send_file(number, 1) == 0, "at its end"
    os.close(number)
    os.close(pipe[1])
    reader.join()
    assert taken == CONTENT
