"""The blobs of a push: found, mounted or sent, side by side and within a bounded space."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.registry import MemoryRegistry, answer_with, connect, digest_of, serve_registry

from lamina.core.names import Digest
from lamina.core.progress import FileSubject, ProgressItem
from lamina.errors import AuthError, OutputError, RegistryError
from lamina.formats.oci import LAYER_TYPE, Descriptor
from lamina.images.registry_destination import open_destination
from lamina.images.writers import registry_blobs
from lamina.images.writers.push_progress import PushProgress
from lamina.images.writers.registry_blobs import RegistryBlobs
from lamina.layers.layer import StoredBlob
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo

PROGRESS = PushProgress(ProgressReporter(None))
ITEM = ProgressItem(1, 1, FileSubject("layer"))
DATA = tuple(bytes([number]) * 10_000 for number in range(6))


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@contextmanager
def opened(server: MemoryRegistry, *names: str) -> Iterator[RegistryBlobs]:
    references = [server.reference(name) for name in names or ("me/app:1",)]

    def open_repository(reference: Any, is_writer: bool) -> Any:
        return connect(server, f"{reference.repository}:{reference.tag}", is_writer=is_writer)

    with (
        open_destination(references, (), open_repository) as destination,
        RegistryBlobs(destination, PROGRESS) as blobs,
    ):
        yield blobs


def info(data: bytes) -> BlobInfo:
    return BlobInfo(digest_of(data), len(data))


def commit(blobs: RegistryBlobs, data: bytes) -> list[str]:
    """Give a blob to the store, and return the list that gets the outcome."""
    outcomes: list[str] = []
    part = blobs.create()
    part.write_bytes(data)
    blobs.commit(part, info(data), "packed", ITEM, outcomes.append)
    return outcomes


def test_a_blob_that_is_there_is_found_and_any_other_is_sent(server: MemoryRegistry, folder: Path) -> None:
    server.add_blob("me/app", DATA[0])
    with opened(server) as blobs:
        assert blobs.find([info(DATA[0]), info(DATA[1])]) == {info(DATA[0]): "reused"}
        outcomes = [commit(blobs, data) for data in (DATA[1], DATA[2], DATA[0], DATA[1])]
        blobs.finish()
        assert outcomes == [["sent"], ["sent"], ["reused"], ["reused"]]
        assert (blobs.sent, blobs.bytes_sent) == ({info(DATA[1]), info(DATA[2])}, 20_000)
    assert set(server.blobs["me/app"].values()) == set(DATA[:3])
    asked = [request.path for request in server.seen if request.method == "HEAD" and "/blobs/" in request.path]
    assert len(asked) == len(set(asked)), "each blob is asked for once"
    assert list(folder.iterdir()) == []


def test_a_blob_of_a_neighbour_is_mounted(server: MemoryRegistry) -> None:
    server.add_blob("me/app", DATA[0])
    with opened(server, "me/app:1", "me/other:1") as blobs:
        assert blobs.find([info(DATA[0])]) == {info(DATA[0]): "mounted"}
        outcome = commit(blobs, DATA[1])
        blobs.finish()
        assert outcome == ["sent"]
        assert blobs.bytes_sent == len(DATA[1])
    assert server.blobs["me/app"] == server.blobs["me/other"]


def stored(data: bytes, repository: str = "") -> StoredBlob:
    descriptor = Descriptor(LAYER_TYPE, digest_of(data), len(data))
    return StoredBlob(descriptor, info(data), lambda start: iter((data[start:],)), repository)


def test_the_blob_of_another_image_is_mounted_or_sent_as_it_is(server: MemoryRegistry) -> None:
    server.add_blob("base/image", DATA[0])
    with opened(server) as blobs:
        for number, data in enumerate(DATA[:2], 1):
            item = ProgressItem(number, len(data), FileSubject("layer"))
            blob = stored(data, f"{server.host}/base/image")
            blobs.add_owners([blob])
            blobs.send(blob, item)
        blobs.finish()
        assert (blobs.mounted, blobs.sent) == ({info(DATA[0])}, {info(DATA[1])})
    assert set(server.blobs["me/app"].values()) == set(DATA[:2])


@pytest.mark.parametrize(("status", "kind"), [(403, AuthError), (500, RegistryError)])
def test_an_upload_that_fails_ends_the_others(
    server: MemoryRegistry, folder: Path, status: int, kind: type[Exception]
) -> None:
    server.fail("PUT", str(digest_of(DATA[0])), answer_with(status), times=100)
    with opened(server) as blobs:
        commit(blobs, DATA[0])
        with pytest.raises(kind):
            blobs.finish()
        with pytest.raises(kind):
            commit(blobs, DATA[1])
    assert list(folder.iterdir()) == []


def test_only_so_many_bytes_wait_to_be_sent(
    server: MemoryRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_blobs, "MAX_UNSENT", 15_000)
    waiting: list[int] = []
    with opened(server) as blobs:
        for data in DATA:
            commit(blobs, data)
            waiting.append(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
        blobs.finish()
    assert max(waiting) <= 15_000


def test_a_document_is_stored_when_add_returns(server: MemoryRegistry) -> None:
    with opened(server) as blobs:
        assert blobs.add(b"{}") == info(b"{}")
        assert server.blobs["me/app"] == {str(digest_of(b"{}")): b"{}"}
        assert blobs.add(b"{}") == info(b"{}")


def test_a_temporary_file_that_vanished_is_an_error(server: MemoryRegistry) -> None:
    with opened(server) as blobs:
        part = blobs.create()
        part.unlink()
        with pytest.raises(OutputError):
            blobs.commit(part, BlobInfo(Digest(bytes(32)), 1), "packed", ITEM, len)
