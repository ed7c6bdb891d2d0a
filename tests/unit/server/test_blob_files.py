"""Blobs are made once, read while they grow, checked before they are complete, and kept within a limit."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.served_images import open_files

from lamina.core.names import Digest
from lamina.errors import IntegrityError, Unavailable
from lamina.server.blob_files import BlobFiles
from lamina.system.transfer import BlobInfo, OnBytes

DATA = os.urandom(3_000_000)


def describe(data: bytes) -> BlobInfo:
    return BlobInfo(Digest(hashlib.sha256(data).digest()), len(data))


def never(part: Path, on_bytes: OnBytes) -> BlobInfo:
    raise AssertionError("made again")


def maker(data: bytes, gate: threading.Event | None = None) -> Callable[[Path, OnBytes], BlobInfo]:
    """Return a function that writes ``data`` in two halves, the second after ``gate`` is set."""

    def make(part: Path, on_bytes: OnBytes) -> BlobInfo:
        half = len(data) // 2
        with part.open("wb", buffering=0) as file:
            file.write(data[:half])
            on_bytes(half)
            if gate:
                assert gate.wait(60)
            file.write(data[half:])
        return describe(data)

    return make


def read(files: BlobFiles, data: bytes, make: Callable[[Path, OnBytes], BlobInfo], start: int = 0) -> bytes:
    return b"".join(map(bytes, files.read(describe(data), make, start, len(data))))


def test_a_blob_is_made_once_and_read_many_times() -> None:
    with open_files() as files:
        assert read(files, DATA, maker(DATA)) == DATA
        assert read(files, DATA, never) == DATA
        assert read(files, DATA, never, 2_999_999) == DATA[-1:]


def test_clients_at_the_same_time_cause_one_making() -> None:
    gate, begun = threading.Event(), []

    def make(part: Path, on_bytes: OnBytes) -> BlobInfo:
        begun.append(part)
        return maker(DATA, gate)(part, on_bytes)

    with open_files() as files, ThreadPoolExecutor(64) as pool:
        readings = [pool.submit(read, files, DATA, make, start) for start in range(64)]
        gate.set()
        for start, reading in enumerate(readings):
            assert reading.result() == DATA[start:]
    assert len(begun) == 1


def test_a_blob_is_read_while_it_grows() -> None:
    gate = threading.Event()
    with open_files() as files:
        pieces = files.read(describe(DATA), maker(DATA, gate), 0, len(DATA))
        first = bytes(next(pieces))
        assert DATA.startswith(first)
        gate.set()
        assert first + b"".join(map(bytes, pieces)) == DATA


def test_the_last_byte_of_a_wrong_blob_is_never_sent() -> None:
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    received = bytearray()
    with open_files() as files:
        pieces = files.read(describe(DATA), maker(wrong), 0, len(DATA))
        with pytest.raises(IntegrityError, match="expected that of the layer"):
            deque(map(received.extend, map(bytes, pieces)), 0)
        assert len(received) < len(DATA)
        assert read(files, DATA, maker(DATA)) == DATA  # the next client gets the right one


def test_every_reader_gets_the_error_of_the_making() -> None:
    gate = threading.Event()

    def make(part: Path, on_bytes: OnBytes) -> BlobInfo:
        assert gate.wait(60)
        raise Unavailable("store", "no path", "one")

    with open_files() as files, ThreadPoolExecutor(8) as pool:
        readings = [pool.submit(read, files, DATA, make) for _ in range(8)]
        gate.set()
        for reading in readings:
            with pytest.raises(Unavailable, match="store: got no path"):
                reading.result()


def test_files_above_the_limit_are_deleted_and_made_again() -> None:
    blobs = [bytes([number]) * 1000 for number in range(5)]
    made: list[int] = []

    def fetch(number: int) -> bytes:
        def make(part: Path, on_bytes: OnBytes) -> BlobInfo:
            made.append(number)
            return maker(blobs[number])(part, on_bytes)

        return read(files, blobs[number], make)

    with open_files(3000) as files:
        for number in (0, 1, 2, 0, 3, 0, 1):
            assert fetch(number) == blobs[number]
            assert sum(file.stat().st_size for file in files._folder.path.iterdir()) <= 4000
    assert made == [0, 1, 2, 3, 1]


def test_who_reads_a_blob_keeps_it_while_it_is_deleted() -> None:
    with open_files(1000) as files:
        assert read(files, DATA, maker(DATA)) == DATA
        pieces = files.read(describe(DATA), maker(DATA), 0, len(DATA))
        first = bytes(next(pieces))
        assert read(files, b"x" * 1000, maker(b"x" * 1000)) == b"x" * 1000
        assert first + b"".join(map(bytes, pieces)) == DATA


def test_nothing_is_left_behind() -> None:
    with open_files() as files:
        folder = files._folder.path
        read(files, DATA, maker(DATA))
    assert not folder.exists()
