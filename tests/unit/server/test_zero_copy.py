"""Parts of files are sent by the kernel, and everything else about a connection stays as it is."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.running_registry import RunningRegistry, run_registry
from tests.support.served_images import open_files

from lamina.core.names import Digest
from lamina.formats.referrers import Referrer
from lamina.server import connections
from lamina.server.blob_files import BlobFiles
from lamina.server.http_messages import Content, FilePart, Piece
from lamina.server.repositories import Manifest
from lamina.system.transfer import BlobInfo, OnBytes

DATA = os.urandom(20 << 20)
BLOB = f"/v2/a/blobs/sha256:{'0' * 64}"


@dataclass
class FileContent:
    """A blob in a file; ``size`` is how long it was once."""

    file: Path
    size: int
    sent: list[Piece] = field(default_factory=list)

    def read(self, start: int, end: int) -> Iterator[Piece]:
        fd = os.open(self.file, os.O_RDONLY)
        try:
            while start < end:
                part = FilePart(fd, start, min(6 << 20, end - start))
                self.sent.append(part)
                yield part
                start += part.size
        finally:
            os.close(fd)


@dataclass
class OneBlob:
    """The `Repositories` with one blob, which has every digest."""

    content: FileContent

    def is_ready(self, repository: str, target: str | Digest) -> bool:
        return True

    def find_manifest(self, repository: str, target: str | Digest) -> Manifest | None:
        return None

    def find_blob(self, repository: str, digest: Digest) -> Content | None:
        return self.content

    def list_tags(self, repository: str) -> list[str]:
        return []

    def list_referrers(self, repository: str, digest: Digest) -> tuple[Referrer, ...]:
        return ()


@pytest.fixture
def content(tmp_path: Path) -> FileContent:
    file = tmp_path / "blob"
    file.write_bytes(DATA)
    return FileContent(file, len(DATA))


@pytest.fixture
def registry(content: FileContent) -> Iterator[RunningRegistry]:
    with run_registry(OneBlob(content)) as running:
        yield running


def test_parts_of_a_file_arrive_unchanged_and_are_not_read(
    registry: RunningRegistry, content: FileContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(part: FilePart) -> bytes:
        raise AssertionError("read by the process")

    monkeypatch.setattr(FilePart, "__bytes__", fail)
    assert registry.get(BLOB).body == DATA
    assert len(content.sent) == 4
    for start, end in ((0, 1), (5, 6 << 20), (len(DATA) - 1, len(DATA)), (1 << 20, 15 << 20)):
        part = registry.get(BLOB, range=f"bytes={start}-{end - 1}")
        assert (part.status, part.body) == (206, DATA[start:end])


@pytest.mark.skipif(not Path("/proc/self/auxv").exists(), reason="Linux has files that sendfile cannot send")
def test_a_file_that_the_kernel_cannot_send_is_read() -> None:
    file = Path("/proc/self/auxv")
    data = file.read_bytes()
    with file.open("rb") as source, pytest.raises(OSError, match="Invalid argument"):
        send_to_socket(source.fileno())
    with run_registry(OneBlob(FileContent(file, len(data)))) as registry:
        assert registry.get(BLOB).body == data


def send_to_socket(fd: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.sendfile(ours.fileno(), fd, 0, 1)


def test_a_connection_takes_more_requests_after_a_file(registry: RunningRegistry) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", registry.port, timeout=60)) as connection:
        for _ in range(3):
            for path, expected in (("/v2/", b"{}"), (BLOB, DATA)):
                connection.request("GET", path)
                assert connection.getresponse().read() == expected


def test_requests_that_are_sent_at_once_are_answered_in_order(registry: RunningRegistry) -> None:
    with closing(socket.create_connection(("127.0.0.1", registry.port), timeout=60)) as connection:
        last = f"GET {BLOB} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=1-3\r\n\r\n"
        connection.sendall((f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n" + last).encode())
        received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    first, second = received[: received.index(DATA) + len(DATA)], received[received.index(DATA) + len(DATA) :]
    assert first.startswith(b"HTTP/1.1 200")
    assert second.startswith(b"HTTP/1.1 206")
    assert second.endswith(b"\r\n\r\n" + DATA[1:4])


def test_a_client_that_does_not_read_holds_up_nobody(registry: RunningRegistry) -> None:
    request = f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    slow = [socket.create_connection(("127.0.0.1", registry.port), timeout=60) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(request)
        for connection in slow:
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert registry.get(BLOB).body == DATA
    finally:
        for connection in slow:
            connection.close()
    answered = [registry.answered.get(timeout=60) for _ in range(41)]
    assert sorted({(entry.is_complete, entry.problem) for entry in answered}) == [
        (False, "the client left"),
        (True, ""),
    ]


def test_a_client_that_reads_nothing_is_cut_off(registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_TIMEOUT", 0.2)
    with closing(socket.create_connection(("127.0.0.1", registry.port), timeout=60)) as connection:
        connection.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answered = registry.answered.get(timeout=60)
    assert (answered.is_complete, answered.problem) == (False, "the client left")


def test_a_file_that_became_shorter_is_never_complete(registry: RunningRegistry, content: FileContent) -> None:
    os.truncate(content.file, len(DATA) - 1)
    with pytest.raises(http.client.IncompleteRead) as caught:
        registry.get(BLOB)
    assert caught.value.partial == DATA[:-1]
    answered = registry.answered.get(timeout=60)
    assert not answered.is_complete
    assert answered.problem == f"file: got {len(DATA) - 1} bytes, expected more"


def test_a_part_can_be_read_and_split(content: FileContent) -> None:
    with content.file.open("rb") as file:
        part = FilePart(file.fileno(), 10, 100)
        assert bytes(part) == DATA[10:110]
        pieces = [*part.split(30)]
        assert [len(piece) for piece in pieces] == [30, 30, 30, 10]
        assert b"".join(map(bytes, pieces)) == bytes(part)


@dataclass
class GrowingBlobs:
    """The `Repositories` with a blob that is ready, and in ``slow`` one that does not grow until ``gate`` is set."""

    files: BlobFiles
    gate: threading.Event = field(default_factory=threading.Event)

    def is_ready(self, repository: str, target: str | Digest) -> bool:
        return True

    def find_manifest(self, repository: str, target: str | Digest) -> Manifest | None:
        return None

    def find_blob(self, repository: str, digest: Digest) -> Content | None:
        return GrowingContent(self, b"slow" * 1000 if repository == "slow" else b"ready" * 1000, repository == "slow")

    def list_tags(self, repository: str) -> list[str]:
        return []

    def list_referrers(self, repository: str, digest: Digest) -> tuple[Referrer, ...]:
        return ()


@dataclass
class GrowingContent:
    blobs: GrowingBlobs
    data: bytes
    is_slow: bool

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, end: int) -> Iterator[Piece]:
        blob = BlobInfo(Digest(hashlib.sha256(self.data).digest()), len(self.data))

        def make(part: Path, on_bytes: OnBytes) -> BlobInfo:
            if self.is_slow:
                assert self.blobs.gate.wait(60)
            part.write_bytes(self.data)
            return blob

        return self.blobs.files.read(blob, make, start, end)


def test_clients_of_a_blob_that_is_stuck_hold_up_nobody_and_may_leave() -> None:
    with open_files() as files:
        blobs = GrowingBlobs(files)
        with run_registry(blobs) as registry:
            waiting = [socket.create_connection(("127.0.0.1", registry.port), timeout=60) for _ in range(50)]
            path = BLOB.replace("/a/", "/slow/")
            for connection in waiting:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert connection.recv(12) == b"HTTP/1.1 200"
            assert registry.get(BLOB).body == b"ready" * 1000
            assert registry.answered.get(timeout=60).is_complete
            for connection in waiting[1:]:
                connection.close()
            left = [registry.answered.get(timeout=60) for _ in waiting[1:]]
            assert {entry.problem for entry in left} == {"the client left"}
            blobs.gate.set()
            received = b""
            while not received.endswith(b"slow" * 1000):
                received += waiting[0].recv(1 << 16)
            waiting[0].close()
