"""A binary cache in a folder is read and written, and no name leads out of it."""

import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lamina.errors import FormatError, NotFound, OutputError, Unavailable
from lamina.messages.sizes import format_size
from lamina.transports.files import PIECE, FileTransport

CONTENT = bytes(range(256)) * 3000


@pytest.fixture
def cache(tmp_path: Path) -> FileTransport:
    return FileTransport(f"file://{tmp_path}/cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_file_is_read_as_it_was_written(cache: FileTransport, folder: Path) -> None:
    cache.write("nar/a.nar", CONTENT)
    assert cache.read("nar/a.nar", len(CONTENT)) == CONTENT
    assert b"".join(cache.stream("nar/a.nar", len(CONTENT))) == CONTENT
    assert max(map(len, cache.stream("nar/a.nar", len(CONTENT)))) == PIECE
    assert cache.size("nar/a.nar") == len(CONTENT)
    assert list_files(folder) == ["nar/a.nar"]


def test_a_file_is_created_once(cache: FileTransport, folder: Path) -> None:
    assert cache.create("claims/a", b"first")
    assert not cache.create("claims/a", b"second")
    assert cache.read("claims/a", 9) == b"first"
    assert list_files(folder) == ["claims/a"]


def test_a_file_is_created_by_one_of_many_threads(cache: FileTransport) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda number: cache.create("a", b"%d" % number), range(8))) == 1


def test_a_file_that_cannot_be_created_is_an_output_error(cache: FileTransport, folder: Path) -> None:
    folder.write_bytes(b"")
    with pytest.raises(OutputError):
        cache.create("a", b"a")


def test_a_file_is_uploaded_whole(cache: FileTransport, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT * 3)
    cache.upload("nar/a.nar", tmp_path / "source")
    assert (folder / "nar/a.nar").read_bytes() == CONTENT * 3
    assert list_files(folder) == ["nar/a.nar"]


def test_a_file_is_replaced_at_once(cache: FileTransport, folder: Path) -> None:
    cache.write("a", CONTENT)
    pieces = cache.stream("a", len(CONTENT))
    begun = next(pieces)
    cache.write("a", b"new")
    assert begun + b"".join(pieces) == CONTENT
    assert cache.read("a", 3) == b"new"
    assert list_files(folder) == ["a"]


def test_an_empty_file_is_there(cache: FileTransport) -> None:
    cache.write("a", b"")
    assert cache.read("a", 0) == b""
    assert list(cache.stream("a", 0)) == []
    assert cache.size("a") == 0


@pytest.mark.parametrize("name", ["none", "none/none", "a/none"])
def test_a_file_may_be_absent(cache: FileTransport, name: str) -> None:
    assert cache.read(name, 1) is None  # the folder is not there either
    cache.write("a", b"")
    assert cache.read(name, 1) is None
    assert cache.size(name) is None
    with pytest.raises(NotFound, match="got nothing there, expected the file"):
        next(cache.stream(name, 1))


def test_a_file_above_its_limit_is_refused(cache: FileTransport) -> None:
    cache.write("a", CONTENT)
    with pytest.raises(FormatError, match=f"got more than {format_size(PIECE)}"):
        cache.read("a", PIECE)
    pieces = cache.stream("a", PIECE)
    assert len(next(pieces)) == PIECE
    with pytest.raises(FormatError):
        next(pieces)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "/etc/passwd", "../x", "a/../b", "a/..", "./a", "a//b", "a/", "a\0b", "\ud800"]
)
def test_a_name_that_leads_elsewhere_is_refused(cache: FileTransport, folder: Path, name: str) -> None:
    (folder.parent / "x").write_bytes(b"")
    for work in (
        lambda: cache.read(name, 1),
        lambda: cache.size(name),
        lambda: next(cache.stream(name, 1)),
        lambda: cache.write(name, b""),
        lambda: cache.upload(name, folder.parent / "x"),
    ):
        with pytest.raises(FormatError, match="got the name"):
            work()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["a?b=c", "a%20b", "a b", "ü", "a:b", "...", "a\\b", "-", "\udcff"])
def test_another_name_is_the_file_of_that_name(cache: FileTransport, folder: Path, name: str) -> None:
    cache.write(name, CONTENT)
    assert cache.read(name, len(CONTENT)) == CONTENT
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize(("text", "name"), [("a%20b", "a b"), ("%C3%BC", "ü"), ("a+b", "a+b"), ("a%252F", "a%2F")])
def test_the_folder_is_read_from_a_url(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "x").write_bytes(b"x")
    for start in ("file://", "file://localhost"):
        for end in ("", "/", "//", "?priority=1"):
            assert FileTransport(f"{start}{tmp_path}/{text}{end}").read("x", 1) == b"x"


def test_only_regular_files_are_read(cache: FileTransport, folder: Path) -> None:
    (folder / "folder").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    for name in ("folder", "pipe"):
        for work in (lambda name=name: cache.read(name, 1), lambda name=name: cache.size(name)):
            with pytest.raises(Unavailable, match=r"got (a folder or special file|Is a directory), expected"):
                work()


def test_a_symlink_loop_is_unavailable(cache: FileTransport, folder: Path) -> None:
    folder.mkdir()
    (folder / "loop").symlink_to("loop")
    for work in (lambda: cache.read("loop", 1), lambda: cache.size("loop")):
        with pytest.raises(
            Unavailable, match=r"cache/loop: got Too many levels of symbolic links, expected a readable file"
        ):
            work()


def test_an_upload_of_a_missing_file_is_unavailable(cache: FileTransport, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="source: got No such file or directory"):
        cache.upload("a", tmp_path / "source")
    with pytest.raises(Unavailable, match="Is a directory"):
        cache.upload("a", tmp_path)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_an_output_error(cache: FileTransport, folder: Path) -> None:
    folder.write_bytes(b"")
    with pytest.raises(OutputError, match=f"^{folder}: got .*, expected to write the result there"):
        cache.write("a", b"")


def test_a_file_in_the_place_of_a_folder_is_an_output_error(cache: FileTransport, folder: Path) -> None:
    (folder / "a").mkdir(parents=True)
    with pytest.raises(OutputError, match="got Is a directory"):
        cache.write("a", b"")
    assert list_files(folder) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_leaves_nothing_behind(
    cache: FileTransport, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write("a", b"old")
    (tmp_path / "source").write_bytes(CONTENT)
    device, written = os.open("/dev/full", os.O_WRONLY), os.write
    # All writes go to a device without free space.
    monkeypatch.setattr(os, "write", lambda number, data: written(device, data))
    expected = f"^{folder}: got {os.strerror(errno.ENOSPC)}"
    with pytest.raises(OutputError, match=expected):
        cache.write("a", b"new")
    with pytest.raises(OutputError, match=expected):
        cache.upload("a", tmp_path / "source")
    os.close(device)
    assert list_files(folder) == ["a"]
    assert (folder / "a").read_bytes() == b"old"


def test_an_interrupt_leaves_nothing_behind(cache: FileTransport, folder: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache._write_pieces(f"{folder}/a", pieces())
    assert list_files(folder) == []


def test_modes_are_those_of_the_umask(cache: FileTransport, folder: Path) -> None:
    delay = os.umask(0o027)
    try:
        cache.write("nar/a", b"")
    finally:
        os.umask(delay)
    assert stat.S_IMODE((folder / "nar/a").stat().st_mode) == 0o640
    assert stat.S_IMODE((folder / "nar").stat().st_mode) == 0o750


def test_many_threads_write_at_once(cache: FileTransport, folder: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: cache.write(f"{number % 4}/a", bytes([number]) * 1000), range(64)))
    assert list_files(folder) == [f"{number}/a" for number in range(4)]
    for number in range(4):
        content = cache.read(f"{number}/a", 1000)
        assert content is not None
        assert content == content[:1] * 1000
