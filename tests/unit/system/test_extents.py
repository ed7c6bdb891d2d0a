"""Extents of files: the bytes, and an error if the file is not the one that was listed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.core.nodes import Extent
from lamina.errors import IntegrityError
from lamina.system.extents import ExtentReader, check_mtime, open_reader, read_head

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    os.utime(file, ns=(0, 1_000_000_007))
    return file


def whole(file: Path) -> Extent:
    return Extent.whole(os.fsencode(file), len(CONTENT), 1_000_000_007)


def read(extent: Extent) -> bytes:
    with ExtentReader() as reader:
        return reader.read_small(extent)


def test_the_bytes_of_an_extent_are_read(file: Path) -> None:
    part = whole(file).part(1000, 500)
    assert read_head(part, 10) == CONTENT[1000:1010]
    assert read_head(part, 9000) == CONTENT[1000:1500]
    assert read_head(b"in memory", 2) == b"in"
    with open_reader(part) as read_at:
        assert read_at(100, 50) == CONTENT[1100:1150]
        assert read_at(490, 50) == CONTENT[1490:1500]
        assert read_at(600, 5) == b""


def test_extents_of_one_file_are_read_one_after_the_other(file: Path) -> None:
    parts = [whole(file).part(start, 256) for start in (512, 0, 256)]
    with ExtentReader() as reader:
        assert [reader.read_small(part) for part in parts] == [CONTENT[:256]] * 3
        buffer = bytearray(len(CONTENT))
        reader.read_small_into(whole(file), memoryview(buffer))
        assert buffer == CONTENT
        reader.read_small_into(parts[0], memoryview(buffer)[:256])
        with reader.open_large(parts[1].part(1, 2)) as fd:
            assert os.read(fd, 2) == b"\1\2"
        with reader.open_large(whole(file)) as fd:
            assert os.read(fd, 3) == b"\0\1\2"


def replace_by_link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    "change",
    [
        Path.unlink,
        lambda file: file.write_bytes(CONTENT[1:]),
        lambda file: file.write_bytes(CONTENT),
        replace_by_link,
        replace_by_folder,
        replace_by_pipe,
    ],
    ids=["removed", "size", "time", "link", "folder", "pipe"],
)
@pytest.mark.parametrize("part", [False, True])
def test_another_file_than_was_listed_is_refused(file: Path, change: Callable[[Path], object], part: bool) -> None:
    extent = whole(file).part(0, 5) if part else whole(file)
    change(file)
    for function in (read, lambda found: read_head(found, 1), lambda found: check_mtime(found, 1_000_000_007)):
        if function is read or change is not replace_by_link:
            with pytest.raises(IntegrityError, match=str(file)):
                function(extent)


def test_a_change_while_the_file_is_read_is_found(file: Path) -> None:
    with pytest.raises(IntegrityError), ExtentReader() as reader:  # noqa: PT012
        reader.read_small(whole(file).part(0, 5))
        file.write_bytes(CONTENT)
    os.utime(file, ns=(0, 1_000_000_007))
    with pytest.raises(IntegrityError), ExtentReader() as reader, reader.open_large(whole(file)):
        file.write_bytes(CONTENT)


def test_another_link_to_the_file_is_no_change(file: Path) -> None:
    with ExtentReader() as reader, reader.open_large(whole(file)) as fd:
        os.link(file, file.with_name("link"))
        assert os.read(fd, 1) == b"\0"


def test_another_modification_time_is_reported_where_that_is_asked_for(file: Path) -> None:
    os.utime(file, ns=(0, 5))
    seen: list[int] = []
    with ExtentReader(lambda extent, mtime_ns: seen.append(mtime_ns)) as reader:
        assert reader.read_small(whole(file)) == CONTENT
        assert reader.read_small(whole(file).part(1, 1)) == b"\1"
    assert read_head(whole(file), 1, lambda extent, mtime_ns: seen.append(mtime_ns)) == b"\0"
    assert seen == [5, 5, 5]
    check_mtime(whole(file), 5)
