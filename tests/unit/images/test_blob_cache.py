"""A folder that keeps blobs by their digests."""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from lamina.core.names import Digest
from lamina.errors import OutputError
from lamina.images.blob_cache import BlobCache
from lamina.system.transfer import BlobInfo


def info(data: bytes) -> BlobInfo:
    return BlobInfo(Digest(sha256(data).digest()), len(data))


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "blobs")


def add(cache: BlobCache, data: bytes, used: float = 0.0) -> Path:
    cache.folder.mkdir(exist_ok=True)
    part = cache.folder / "part"
    part.write_bytes(data)
    cache.add(info(data), part)
    part.unlink()
    file = cache.folder / "sha256" / info(data).digest.hex
    if used:
        os.utime(file, (used, used))
    return file


def test_a_blob_is_copied_from_the_cache_or_linked_inside_of_it(cache: BlobCache, tmp_path: Path) -> None:
    file = add(cache, b"abc", used=100)
    assert cache.take(info(b"abc"), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"abc"
    assert not (tmp_path / "copy").samefile(file)
    assert cache.take(info(b"abc"), cache.folder / "link", may_link=True)
    assert (cache.folder / "link").samefile(file)
    assert file.stat().st_atime > 100  # it was used now
    assert file.stat().st_mtime == 100


def test_a_thread_that_has_the_file_open_sees_the_blob(cache: BlobCache) -> None:
    """A server sends a blob while its file is written, and its temporary folder may be inside the cache's folder."""
    add(cache, b"abc")
    target = cache.folder / "target"
    with target.open("xb+") as opened:
        assert cache.take(info(b"abc"), target)
        assert opened.read() == b"abc"


def test_a_missing_blob_is_not_taken(cache: BlobCache, tmp_path: Path) -> None:
    assert not cache.take(info(b"abc"), tmp_path / "copy")
    assert cache.list_blobs() == []


@pytest.mark.parametrize("damaged", [b"abd", b"ab", b""])
def test_a_damaged_blob_is_deleted(cache: BlobCache, tmp_path: Path, damaged: bytes) -> None:
    file = add(cache, b"abc")
    file.write_bytes(damaged)
    assert not cache.take(info(b"abc"), tmp_path / "copy")
    assert not file.exists()


def test_a_blob_that_is_there_is_not_added_again(cache: BlobCache) -> None:
    assert add(cache, b"abc").stat().st_ino == add(cache, b"abc").stat().st_ino


def test_a_target_that_cannot_be_written_is_an_error(cache: BlobCache, tmp_path: Path) -> None:
    add(cache, b"abc")
    with pytest.raises(OutputError):
        cache.take(info(b"abc"), tmp_path)


def test_the_least_recently_used_blobs_are_evicted(cache: BlobCache) -> None:
    old, _, new = add(cache, b"1" * 10, 300), add(cache, b"2" * 10, 100), add(cache, b"3" * 10, 200)
    (cache.folder / "sha256" / "notes").write_text("of the user")
    assert [blob.used for blob in cache.evict(20)] == [100]
    assert [blob.file for blob in cache.list_blobs()] == [new, old]
    assert [blob.used for blob in cache.evict(20, oldest=250)] == [200]
    assert (cache.folder / "sha256" / "notes").exists()


def test_a_blob_is_copied_from_another_file_system(cache: BlobCache) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        part = Path(other) / "part"
        part.write_bytes(b"abc")
        cache.folder.mkdir()
        assert part.stat().st_dev != cache.folder.stat().st_dev
        cache.add(info(b"abc"), part)
        assert cache.take(info(b"abc"), part)
    (blob,) = cache.list_blobs()
    assert blob.file.read_bytes() == b"abc"


def test_a_cache_stays_within_its_limit_while_blobs_are_added(tmp_path: Path) -> None:
    """A server adds blobs for months, and does not close its cache."""
    cache = BlobCache(tmp_path / "blobs", max_size=100)
    for number in range(20):
        add(cache, b"%060d" % number)
        assert sum(blob.size for blob in cache.list_blobs()) <= 2 * 100
    cache.close()
    assert [blob.file.read_bytes() for blob in cache.list_blobs()] == [b"%060d" % 19]
