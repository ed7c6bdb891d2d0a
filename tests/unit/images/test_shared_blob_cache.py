"""A bucket that keeps blobs by their digests, behind a folder."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.buckets import list_keys, serve_buckets
from tests.support.s3_server import use_credentials

from lamina.core.names import Digest
from lamina.errors import InvalidArgument, OutputError, Unavailable
from lamina.images.blob_cache import BlobCache
from lamina.images.shared_blob_cache import SharedBlobCache, make_blob_cache
from lamina.layer_cache.pause import PAUSE, Pause
from lamina.stores.transport import WritableTransport
from lamina.system.transfer import BlobInfo
from lamina.transports.files import FileTransport

DATA = b"layer" * 1000
BLOB = BlobInfo(Digest(sha256(DATA).digest()), len(DATA))
NAME = f"blobs/sha256/{BLOB.digest.hex}"


class Machines:
    """Machines that share a bucket, each with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bucket = folder / "bucket"
        self.warnings: list[str] = []

    def open(self, name: str, bucket: WritableTransport | None = None) -> SharedBlobCache:
        transport = bucket or FileTransport(self.bucket.as_uri())
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return SharedBlobCache(folder, lambda: transport, self.warnings.append)

    def add(self, cache: BlobCache) -> None:
        part = cache.folder / "part"
        part.write_bytes(DATA)
        cache.add(BLOB, part)
        part.unlink()
        cache.close()

    def take(self, cache: BlobCache) -> bytes | None:
        part = cache.folder / "taken"
        part.touch()
        return part.read_bytes() if cache.take(BLOB, part) else None


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


def test_another_machine_has_a_blob_that_one_has_added(machines: Machines) -> None:
    machines.add(machines.open("first"))
    assert (machines.bucket / NAME).read_bytes() == DATA
    assert machines.take(machines.open("second")) == DATA
    assert not machines.warnings


def test_the_folder_is_asked_first(machines: Machines) -> None:
    machines.add(machines.open("first"))
    (machines.bucket / NAME).write_bytes(b"damaged")
    assert machines.take(machines.open("first")) == DATA
    assert not machines.warnings


def test_a_blob_that_is_there_is_not_sent_again(machines: Machines) -> None:
    machines.add(machines.open("first"))
    before = (machines.bucket / NAME).stat()
    machines.add(machines.open("second"))
    third = machines.open("third")
    assert machines.take(third) == DATA
    machines.add(third)
    after = (machines.bucket / NAME).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_missing_blob_is_not_taken(machines: Machines) -> None:
    assert machines.take(machines.open("first")) is None
    assert not machines.warnings


@pytest.mark.parametrize("damaged", [b"", DATA[:-1], DATA + b"x", b"X" + DATA[1:]])
def test_a_damaged_blob_is_not_taken_and_is_replaced(machines: Machines, damaged: bytes) -> None:
    machines.add(machines.open("first"))
    (machines.bucket / NAME).write_bytes(damaged)
    second = machines.open("second")
    assert machines.take(second) is None
    (warning,) = machines.warnings
    assert warning == f"{machines.bucket.as_uri()}/{NAME}: got other bytes, expected the blob of this digest"
    machines.add(second)
    assert (machines.bucket / NAME).read_bytes() == DATA


def test_a_blob_of_the_bucket_is_kept_in_the_folder(machines: Machines) -> None:
    machines.add(machines.open("first"))
    assert machines.take(machines.open("second")) == DATA
    (machines.bucket / NAME).unlink()
    assert machines.take(machines.open("second")) == DATA


class FailingBucket(FileTransport):
    """A bucket whose server goes away in the middle of an object."""

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        yield DATA[: len(DATA) // 2]
        raise Unavailable(name, "a closed connection", "the object")


@pytest.mark.parametrize("damage", [None, DATA[:-1] + b"X"])
def test_nobody_can_read_a_blob_that_has_not_been_hashed(machines: Machines, damage: bytes | None) -> None:
    """A server sends a file while it grows, so what was sent could not be taken back."""
    machines.add(machines.open("first"))
    if damage:
        (machines.bucket / NAME).write_bytes(damage)
    second = machines.open("second", None if damage else FailingBucket(machines.bucket.as_uri()))
    target = second.folder.parent / "target"
    target.write_bytes(b"before")
    assert not second.take(BLOB, target)
    assert target.read_bytes() == b"before"
    assert len(machines.warnings) == 1
    assert list((second.folder / "sha256").iterdir()) == []


def test_a_bucket_is_used_again_some_time_after_it_failed(machines: Machines) -> None:
    machines.add(machines.open("first"))
    now, failing = [0.0], [True]

    def open_bucket() -> WritableTransport:
        if failing[0]:
            raise Unavailable("s3://bucket", "HTTP 503", "the bucket")
        return FileTransport(machines.bucket.as_uri())

    folder = machines.bucket.parent / "server"
    cache = SharedBlobCache(folder, open_bucket, machines.warnings.append, pause=Pause(lambda: now[0]))
    assert machines.take(machines.open("first")) == DATA
    target = machines.bucket.parent / "target"
    assert not cache.take(BLOB, target)
    failing[0] = False
    now[0] = PAUSE - 1
    assert not cache.take(BLOB, target)
    now[0] = PAUSE
    assert cache.take(BLOB, target)
    assert len(machines.warnings) == 1


def test_a_blob_is_sent_again_after_its_upload_failed(machines: Machines) -> None:
    now = [0.0]
    bucket = ReadOnlyBucket(machines.bucket.as_uri())
    places: list[FileTransport] = [bucket, FileTransport(machines.bucket.as_uri())]
    folder = machines.bucket.parent / "server"
    folder.mkdir()
    cache = SharedBlobCache(folder, lambda: places.pop(0), machines.warnings.append, pause=Pause(lambda: now[0]))
    machines.add(cache)
    now[0] = PAUSE
    machines.add(cache)
    assert (machines.bucket / NAME).read_bytes() == DATA
    assert len(machines.warnings) == 1


class BrokenBucket(FileTransport):
    """A bucket whose server fails."""

    def size(self, name: str) -> int | None:
        raise Unavailable(name, "HTTP 500", "the object")

    def stream(self, name: str, limit: int) -> object:  # type: ignore[override]
        raise Unavailable(name, "HTTP 500", "the object")


class ReadOnlyBucket(FileTransport):
    """A bucket that nobody may write to."""

    def upload(self, name: str, file: Path) -> None:
        raise OutputError(name, "HTTP 403", "to write the object", hint="use others")


@pytest.mark.parametrize("kind", [BrokenBucket, ReadOnlyBucket])
def test_a_bucket_that_fails_is_one_warning(machines: Machines, kind: type[FileTransport]) -> None:
    cache = machines.open("first", kind(machines.bucket.as_uri()))
    for _ in range(2):
        machines.take(cache)
        machines.add(cache)
    assert machines.take(cache) == DATA, "the folder has it"
    (warning,) = machines.warnings
    assert warning.startswith(f"{NAME}: got HTTP ")
    assert warning.endswith(": continuing without the shared blob cache")


def test_a_bucket_that_cannot_be_opened_is_one_warning(machines: Machines) -> None:
    def fail() -> WritableTransport:
        raise Unavailable("s3://bucket", "no config", "one")

    cache = SharedBlobCache(machines.bucket, fail, machines.warnings.append)
    machines.bucket.mkdir()
    assert machines.take(cache) is None
    assert machines.take(cache) is None
    assert machines.warnings == ["s3://bucket: got no config, expected one: continuing without the shared blob cache"]


def test_the_kind_of_cache_follows_from_the_place(tmp_path: Path) -> None:
    folder, local = str(tmp_path / "a b"), str(tmp_path / "local")
    assert make_blob_cache(None, local, pytest.fail) is None
    for place in (folder, (tmp_path / "a b").as_uri()):
        made = make_blob_cache(place, local, pytest.fail)
        assert type(made) is BlobCache
        assert str(made.folder) == folder
    shared = make_blob_cache("s3://bucket", local, pytest.fail)
    assert type(shared) is SharedBlobCache
    assert str(shared.folder) == local
    assert type(make_blob_cache("s3://bucket", local, pytest.fail, offline=True)) is BlobCache
    with pytest.raises(InvalidArgument, match=r"^local_blob_cache: got None, expected a folder .* s3://bucket$"):
        make_blob_cache("s3://bucket?secret-key=x", None, pytest.fail)


def test_a_bucket_of_s3_is_used(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch, tmp_path)
    with serve_buckets("cache") as address:
        url = f"s3://cache/prefix?endpoint={address}&scheme=http&region=us-east-1"
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            cache = make_blob_cache(url, str(tmp_path / name), machines.warnings.append)
            assert cache
            assert machines.take(cache) == (None if name == "first" else DATA)
            machines.add(cache)
            cache.close()
        assert list_keys(address, "cache") == [f"prefix/{NAME}"]
    assert not machines.warnings
