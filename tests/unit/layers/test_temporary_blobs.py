"""Compressed layers in a temporary folder, until they are copied."""

import hashlib
from pathlib import Path

import pytest

from lamina.core.names import Digest
from lamina.core.progress import FileSubject, ProgressItem
from lamina.errors import OutputError
from lamina.layers.temporary_blobs import TemporaryBlobStore
from lamina.system.extents import read_head
from lamina.system.transfer import BlobInfo

ITEM = ProgressItem(1, 5, FileSubject("layer"))
BLOB = BlobInfo(Digest(hashlib.sha256(b"hello").digest()), 5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_blob_is_kept_until_it_is_removed(folder: Path) -> None:
    blobs = TemporaryBlobStore()
    part, other = blobs.create(), blobs.create()
    assert part != other
    assert part.stat().st_mode & 0o777 == 0o600
    part.write_bytes(b"hello")
    assert not blobs.find([BLOB])
    outcomes: list[str] = []
    blobs.commit(part, BLOB, "packed", ITEM, outcomes.append)
    assert outcomes == ["packed"]
    assert read_head(blobs.extent(BLOB), 10) == b"hello"
    blobs.remove(BLOB)
    assert not part.exists()
    blobs.close()
    assert list(folder.iterdir()) == []


def test_two_layers_may_have_the_same_blob(folder: Path) -> None:
    blobs = TemporaryBlobStore()
    parts = [blobs.create(), blobs.create()]
    for part in parts:
        part.write_bytes(b"hello")
        blobs.commit(part, BLOB, "packed", ITEM, len)
    assert [part.exists() for part in parts] == [True, False]
    for _ in parts:
        blobs.remove(BLOB)
    assert not parts[0].exists()
    blobs.close()


def test_a_folder_that_cannot_be_used_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = TemporaryBlobStore()
    blobs.close()
    with pytest.raises(OutputError):
        blobs.create()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nothing"))
    with pytest.raises(OutputError, match=r"temporary folder: got .*expected a folder for layers"):
        TemporaryBlobStore()
