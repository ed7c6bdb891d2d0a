"""The transfer loop: it writes exactly the listed bytes, or raises an error."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.support.fake_nix_store import as_nobody, public_folder

from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.errors import IntegrityError, Unavailable
from lamina.system.extents import read_head
from lamina.system.fd_writer import FunctionOutput
from lamina.system.transfer import BUFFER_SIZE, BlobInfo, Piece, TransferBuffers, copy, hash_pieces, transfer

MIDDLE = BUFFER_SIZE // 2


def extent(file: Path, offset: int = 0, length: int | None = None) -> Extent:
    """Return the extent of ``file`` as it is now, or of a range of it."""
    status = file.stat()
    size = status.st_size
    return Extent(os.fsencode(file), offset, size - offset if length is None else length, size, status.st_mtime_ns)


def sha256(data: bytes) -> BlobInfo:
    return BlobInfo(Digest(hashlib.sha256(data).digest()), len(data))


def transferred(*pieces: Piece) -> bytes:
    """Transfer ``pieces``, check their digest, and return their bytes."""
    out = bytearray()
    found = transfer(pieces, out.extend)
    assert found == sha256(bytes(out))
    return bytes(out)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a file that fills several buffers, each with other bytes."""
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(3 * BUFFER_SIZE + 12345))
    return path


# What is written


def test_no_pieces_are_no_bytes() -> None:
    assert transferred() == transferred(b"", b"") == b""
    assert hash_pieces([]) == sha256(b"")


@pytest.mark.parametrize("size", [1, 511, BUFFER_SIZE - 1, BUFFER_SIZE, BUFFER_SIZE + 1, 5 * BUFFER_SIZE])
def test_bytes_are_written_unchanged(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert transferred(data) == data


def test_small_pieces_are_written_in_large_buffers() -> None:
    sizes: list[int] = []
    pieces = [b"%06d" % number for number in range(400_000)]
    found = transfer(pieces, lambda data: sizes.append(len(data)))
    assert found == sha256(b"".join(pieces))
    assert set(sizes[:-1]) == {BUFFER_SIZE}
    assert sum(sizes) == 2_400_000


def test_files_and_bytes_are_written_in_order(file: Path) -> None:
    content = file.read_bytes()
    assert transferred(b"<", extent(file), b"|", extent(file), b">") == b"<" + content + b"|" + content + b">"


@pytest.mark.parametrize("offset", [0, 1, 4096, BUFFER_SIZE, 3 * BUFFER_SIZE + 11568])
@pytest.mark.parametrize("length", [0, 1, 777, None])
def test_a_range_of_a_file_is_written(file: Path, offset: int, length: int | None) -> None:
    piece = extent(file, offset, length)
    assert transferred(b"x" * MIDDLE, piece) == b"x" * MIDDLE + file.read_bytes()[offset:][: piece.length]


def test_read_head_returns_the_first_bytes(file: Path) -> None:
    content = file.read_bytes()
    assert read_head(extent(file), 20) == content[:20]
    assert read_head(extent(file, 100), 20) == content[100:120]
    assert read_head(extent(file, 100, 5), 20) == content[100:105]
    assert read_head(b"abc", 2) == b"ab"
    assert read_head(b"abc", 20) == b"abc"


# Files that change


def _shrink(file: Path) -> None:
    os.truncate(file, 100)


def _grow(file: Path) -> None:
    with file.open("ab") as out:
        out.write(b"more")


def _touch(file: Path) -> None:
    os.utime(file, ns=(0, 12345))


def _rewrite(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _remove(file: Path) -> None:
    file.unlink()


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _socket(file: Path) -> None:
    file.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(file))


def _no_folder(file: Path) -> None:
    inner = file.parent
    inner.rename(inner.with_name("moved"))
    inner.write_bytes(b"")


CHANGES = [_shrink, _grow, _touch, _rewrite, _remove, _link, _folder, _pipe, _socket, _no_folder]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "read", [lambda piece: hash_pieces([piece]), lambda piece: read_head(piece, 64)], ids=["all", "head"]
)
def test_a_file_that_changed_since_it_was_walked_is_refused(
    tmp_path: Path, change: Callable[[Path], None], read: Callable[[Extent], object]
) -> None:
    file = tmp_path / "inner" / "file"
    file.parent.mkdir()
    file.write_bytes(b"x" * 1000)
    os.utime(file, ns=(0, 1_000_000_000))
    piece = extent(file)
    change(file)
    with pytest.raises(IntegrityError, match=rf"^{file}: got .*, expected ") as caught:
        read(piece)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("change", [_shrink, _grow, _touch, _rewrite])
def test_a_file_that_changes_while_it_is_read_is_refused(file: Path, change: Callable[[Path], None]) -> None:
    os.utime(file, ns=(0, 1_000_000_000))
    written: list[int] = []

    def write(data: memoryview) -> None:
        if not written:
            change(file)
        written.append(len(data))

    with pytest.raises(IntegrityError, match=rf"^{file}: got .*the file changed while it was read"):
        transfer([extent(file)], write)
    assert written, "nothing was read before the change"


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(file: Path) -> None:
    content = file.read_bytes()
    out = bytearray()

    def write(data: memoryview) -> None:
        file.unlink(missing_ok=True)
        out.extend(data)

    assert transfer([extent(file)], write) == sha256(content)
    assert out == content


def test_a_change_outside_the_range_counts_too(file: Path) -> None:
    piece = extent(file, 0, 10)
    _grow(file)
    with pytest.raises(IntegrityError, match="the file changed while it was read"):
        hash_pieces([piece])


def _parts(file: Path, count: int) -> Iterator[Piece]:
    """Yield extents at the start and at the end of ``file``, in turns."""
    size = file.stat().st_size
    for number in range(count):
        yield extent(file, number, 10)
        yield b"between"
        yield extent(file, size - 100_000 - number, 90_000)


def test_consecutive_parts_of_a_file_open_it_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = file.with_name("other")
    other.write_bytes(b"x" * 300_000)
    content = file.read_bytes()
    opened: list[bytes] = []
    system = os.open

    def counting(name: bytes, flags: int) -> int:
        opened.append(name)
        return system(name, flags)

    monkeypatch.setattr(os, "open", counting)
    pieces = [*_parts(file, 20), *_parts(other, 3), *_parts(file, 1)]
    out = transferred(*pieces)
    assert opened == [os.fsencode(name) for name in (file, other, file)]
    expected = [piece if isinstance(piece, bytes) else _range(content, piece) for piece in pieces[:60]]
    assert out.startswith(b"".join(expected))


def _range(content: bytes, piece: Extent) -> bytes:
    return content[piece.offset : piece.offset + piece.length]


@pytest.mark.parametrize("change", [_touch, _rewrite, _shrink, _grow])
def test_a_file_that_changes_between_two_of_its_parts_is_refused(file: Path, change: Callable[[Path], None]) -> None:
    os.utime(file, ns=(0, 1_000_000_000))

    def pieces() -> Iterator[Piece]:
        parts = list(_parts(file, 3))
        yield from parts[:4]
        change(file)
        yield from parts[4:]

    for work in (
        lambda: transfer(pieces(), len),
        lambda: hash_pieces(pieces()),
        lambda: copy(pieces(), FunctionOutput(len)),
    ):
        os.utime(file, ns=(0, 1_000_000_000))
        content = file.read_bytes()
        with pytest.raises(IntegrityError, match=rf"^{file}: got .*the file changed while it was read"):
            work()
        file.write_bytes(content)


def test_a_new_hard_link_to_the_file_is_no_change(file: Path) -> None:
    piece = extent(file)
    os.link(file, file.with_name("other"))
    assert hash_pieces([piece]) == sha256(file.read_bytes())


# What cannot be read or written


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as path:
        yield path


def test_a_file_that_may_not_be_read_is_an_error(folder: Path) -> None:
    file = folder / "file"
    file.write_bytes(b"secret")
    file.chmod(0)
    with pytest.raises(Unavailable, match=rf"^{file}: got Permission denied, expected a readable file"):
        as_nobody(lambda: hash_pieces([extent(file)]))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails when it is read")
def test_a_file_that_fails_in_the_middle_is_an_error() -> None:
    status = os.stat("/proc/self/mem")
    piece = Extent(b"/proc/self/mem", 0, 10, status.st_size, status.st_mtime_ns)
    with pytest.raises(Unavailable, match="got Input/output error, expected a readable file"):
        hash_pieces([piece])


def test_an_error_of_the_output_is_raised_and_no_file_stays_open(file: Path) -> None:
    def write(data: memoryview) -> None:
        raise OSError(28, "No space left on device")

    open_before, threads_before = os.listdir("/dev/fd"), threading.active_count()
    for _ in range(3):
        with pytest.raises(OSError, match="No space left on device"):
            transfer([extent(file)], write)
    assert len(os.listdir("/dev/fd")) == len(open_before)
    assert threading.active_count() == threads_before


def test_a_full_output_is_not_reported_as_an_unreadable_file(file: Path) -> None:
    def next_buffer(_: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device") as caught:
        transfer([extent(file)], next_buffer)
    assert caught.value.errno == errno.ENOSPC


def test_buffers_are_reused_but_never_shared(file: Path) -> None:
    inside: list[BlobInfo] = []

    def nested(_: memoryview) -> None:
        inside.append(hash_pieces([extent(file)]))

    expected = sha256(file.read_bytes())
    for _ in range(3):
        assert transfer([extent(file)], nested) == expected
    assert set(inside) == {expected}


def test_an_error_of_the_pieces_is_raised(file: Path) -> None:
    def pieces() -> Iterator[Piece]:
        yield extent(file)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(pieces(), len)


# Memory

_READ = """
import os, resource, sys
from lamina.system.transfer import hash_pieces
from lamina.core.nodes import Extent

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def read(file):
    status = os.stat(file)
    return hash_pieces([Extent(os.fsencode(file), 0, status.st_size, status.st_size, status.st_mtime_ns)] * 2)

read(sys.argv[1])
before = peak()
assert read(sys.argv[2]).size == 2 * int(sys.argv[3])
print(peak() - before)
"""


@pytest.mark.integration
def test_memory_does_not_grow_with_the_file(file: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 300 << 20)
    command = [sys.executable, "-c", _READ, str(file), str(large), str(300 << 20)]
    grown = int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert grown < 8 << 20


def test_buffers_are_kept_for_the_next_transfer() -> None:
    used: list[bytearray] = []

    def write(data: memoryview) -> None:
        if not any(buffer is data.obj for buffer in used):
            used.append(cast("bytearray", data.obj))

    buffers = TransferBuffers()
    for _ in range(3):
        transfer([b"x" * 1000], write, buffers)
    assert len(used) <= 2, "one that is filled, and the one that is next"
