"""Blobs are uploaded whole or in chunks, are mounted, and reach the registry in spite of faults."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.support.registry import (
    QUICK,
    MemoryRegistry,
    RegistryHandler,
    answer_with,
    connect,
    cut_connection,
    digest_of,
    forget_answer,
)

from lamina.errors import AuthError, IntegrityError, OutputError, RegistryError
from lamina.registry.uploads import BlobContent, mount_blob, start_session, upload_blob

DATA = bytes(range(256)) * 40_000  # 10 MB: three chunks
CHUNK = 4 << 20
UPLOADS = "/blobs/uploads/"


def blob(data: bytes = DATA) -> BlobContent:
    return BlobContent(digest_of(data), len(data), lambda start: (data[start:],))


def stored(registry: MemoryRegistry, name: str = "me/app") -> list[bytes]:
    return list(registry.blobs.get(name, {}).values())


def test_a_blob_is_sent_with_one_put(registry: MemoryRegistry) -> None:
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]
    assert registry.methods() == ["GET", "POST", "PUT"]
    assert registry.seen[-1].size == len(DATA)


def test_an_empty_blob_is_sent(registry: MemoryRegistry) -> None:
    with connect(registry) as connection:
        upload_blob(connection, blob(b""))
    assert stored(registry) == [b""]


@pytest.mark.parametrize(("min_chunk", "size"), [(1 << 20, CHUNK), (CHUNK + 5, CHUNK + 5)])
def test_a_registry_that_states_a_chunk_length_gets_chunks(registry: MemoryRegistry, min_chunk: int, size: int) -> None:
    registry.min_chunk = min_chunk
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]
    assert [request.size for request in registry.seen if request.method == "PATCH"] == [
        size,
        size,
        len(DATA) - 2 * size,
    ]
    assert (registry.seen[-1].method, registry.seen[-1].size) == ("PUT", 0)


def test_a_blob_smaller_than_a_chunk_is_sent_whole(registry: MemoryRegistry) -> None:
    registry.min_chunk = len(DATA)
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert "PATCH" not in registry.methods()


@pytest.mark.parametrize("status", [400, 405, 411, 413, 415, 501])
def test_a_registry_that_refuses_whole_blobs_gets_chunks(registry: MemoryRegistry, status: int) -> None:
    registry.refuses_whole_blobs = status
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]
    assert registry.methods().count("PATCH") == 3


def test_a_registry_cannot_demand_chunks_that_are_too_large(registry: MemoryRegistry) -> None:
    registry.min_chunk = 1 << 40
    with connect(registry) as connection, pytest.raises(RegistryError, match="chunks of at least 1099511627776 bytes"):
        upload_blob(connection, blob())


# --- faults


@pytest.mark.parametrize("fault", [cut_connection, answer_with(503), answer_with(429, {"Retry-After": "1"})])
def test_a_failed_upload_is_repeated_from_a_new_source(registry: MemoryRegistry, fault: object) -> None:
    opened: list[int] = []

    def read(start: int) -> Iterator[bytes]:
        opened.append(start)
        yield DATA[start:]

    assert callable(fault)
    registry.fail("PUT", UPLOADS, fault, times=2)
    with connect(registry) as connection:
        upload_blob(connection, BlobContent(digest_of(DATA), len(DATA), read))
    assert stored(registry) == [DATA]
    assert opened == [0, 0, 0]


def test_a_cut_in_the_middle_of_a_blob_is_repeated(registry: MemoryRegistry) -> None:
    def cut_within(handler: RegistryHandler) -> bool:
        handler.rfile.read(100_000)
        return handler.cut()

    registry.fail("PUT", UPLOADS, cut_within)
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]


def test_a_blob_that_was_stored_is_not_sent_again_if_only_the_answer_is_lost(registry: MemoryRegistry) -> None:
    registry.fail("PUT", UPLOADS, forget_answer)
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert registry.methods() == ["GET", "POST", "PUT", "HEAD"]


def test_an_upload_that_fails_every_time_ends_with_an_error(registry: MemoryRegistry) -> None:
    registry.fail("PUT", UPLOADS, answer_with(500), times=99)
    with connect(registry) as connection, pytest.raises(RegistryError, match="HTTP 500 5 times in a row"):
        upload_blob(connection, blob(b"x"))
    assert registry.methods().count("PUT") == 5


def test_a_session_that_vanished_is_replaced(registry: MemoryRegistry) -> None:
    with connect(registry) as connection:
        session = start_session(connection, digest_of(DATA))
        registry.uploads.clear()
        upload_blob(connection, blob(), session)
    assert stored(registry) == [DATA]
    assert registry.methods().count("POST") == 2


def test_chunks_continue_where_the_registry_has_them(registry: MemoryRegistry) -> None:
    registry.min_chunk = 1
    registry.fail("PATCH", UPLOADS, cut_connection, after=1)
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]
    assert registry.methods().count("POST") == 1
    assert sum(request.size for request in registry.seen if request.method == "PATCH") == len(DATA) + CHUNK


def test_a_chunk_whose_answer_was_lost_is_not_sent_again(registry: MemoryRegistry) -> None:
    registry.min_chunk = 1
    registry.fail("PATCH", UPLOADS, forget_answer, after=1)
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]
    assert sum(request.size for request in registry.seen if request.method == "PATCH") == len(DATA)


def test_a_registry_that_has_less_than_was_sent_gets_the_rest_after_416(registry: MemoryRegistry) -> None:
    def lose_bytes(handler: RegistryHandler) -> bool:
        del registry.uploads["u1"][1000:]
        return False

    registry.min_chunk = 1
    registry.fail("PATCH", UPLOADS, lose_bytes, after=1)
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]
    assert registry.methods()[1:5] == ["POST", "PATCH", "PATCH", "GET"]


def test_chunks_begin_again_if_their_session_vanished(registry: MemoryRegistry) -> None:
    def forget(handler: RegistryHandler) -> bool:
        registry.uploads.clear()
        return False

    registry.min_chunk = 1
    registry.fail("PATCH", UPLOADS, forget, after=1)
    with connect(registry) as connection:
        upload_blob(connection, blob())
    assert stored(registry) == [DATA]
    assert registry.methods().count("POST") == 2


def test_a_registry_that_answers_416_for_ever_ends_with_an_error(registry: MemoryRegistry) -> None:
    registry.min_chunk = 1
    registry.fail("PATCH", UPLOADS, answer_with(416), times=99)
    with (
        connect(registry) as connection,
        pytest.raises(RegistryError, match="HTTP 416 for the chunk at byte 0 5 times"),
    ):
        upload_blob(connection, blob())


def test_a_wrong_digest_in_the_answer_is_an_integrity_error(registry: MemoryRegistry) -> None:
    registry.states_wrong_digests = True
    with connect(registry) as connection, pytest.raises(IntegrityError, match="from the registry, expected sha256:"):
        upload_blob(connection, blob())


def test_a_registry_that_received_other_bytes_is_an_integrity_error(registry: MemoryRegistry) -> None:
    wrong = BlobContent(digest_of(b"a"), 1, lambda start: (b"b",))
    with connect(registry) as connection, pytest.raises(IntegrityError, match="DIGEST_INVALID") as caught:
        upload_blob(connection, wrong)
    assert caught.value.is_transient, "the bytes may have been damaged on their way"
    assert stored(registry) == []


@pytest.mark.parametrize("data", [b"", b"x" * 9])
def test_a_source_that_is_too_short_publishes_nothing(registry: MemoryRegistry, data: bytes) -> None:
    short = BlobContent(digest_of(b"x" * 10), 10, lambda start: (data,))
    with connect(registry) as connection, pytest.raises(IntegrityError, match=f"got {len(data)} bytes to send"):
        upload_blob(connection, short)
    assert stored(registry) == []


@pytest.mark.parametrize("min_chunk", [0, CHUNK])
def test_a_source_that_finds_its_last_bytes_wrong_keeps_the_blob_from_the_registry(
    registry: MemoryRegistry, min_chunk: int
) -> None:
    registry.min_chunk = min_chunk

    def read(start: int) -> Iterator[bytes]:
        yield DATA[start:]
        raise IntegrityError("source", "another digest", "the digest that was asked for")

    with connect(registry) as connection, pytest.raises(IntegrityError, match="source: got another digest"):
        upload_blob(connection, BlobContent(digest_of(DATA), len(DATA), read))
    assert stored(registry) == []


def test_a_source_that_is_too_long_is_cut_at_its_size(registry: MemoryRegistry) -> None:
    with connect(registry) as connection:
        upload_blob(connection, BlobContent(digest_of(b"abc"), 3, lambda start: (b"ab", b"cd")))
    assert stored(registry) == [b"abc"]


def test_an_error_of_the_source_ends_the_upload_and_closes_the_source(registry: MemoryRegistry) -> None:
    ended: list[bool] = []

    def read(start: int) -> Iterator[bytes]:
        try:
            yield b"x"
            raise OutputError("temporary file", "no space left", "room")
        finally:
            ended.append(True)

    with connect(registry) as connection, pytest.raises(OutputError, match="no space left"):
        upload_blob(connection, BlobContent(digest_of(DATA), len(DATA), read))
    assert ended == [True]  # opened once: the request is not repeated, and the registry may not have read its head yet
    assert stored(registry) == []


@pytest.mark.parametrize("min_chunk", [0, 1000])
def test_many_uploads_at_once_get_through_to_a_registry_that_fails_often(
    registry: MemoryRegistry, min_chunk: int
) -> None:
    """Every seventh request fails in one of four ways. The order is up to the threads, so there are many attempts."""
    faults = itertools.cycle([cut_connection, forget_answer, answer_with(503), answer_with(429)])
    count = itertools.count(1)

    def fail_often(handler: RegistryHandler) -> bool:
        with registry.lock:
            fault = next(faults) if next(count) % 7 == 0 else None
        return fault is not None and fault(handler)

    registry.min_chunk = min_chunk
    registry.faults.append(fail_often)
    sent = [bytes([number]) * (10_000 + number) for number in range(60)]
    policy = replace(QUICK, attempts=50)
    with connect(registry, policy=policy) as connection, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: upload_blob(connection, blob(data)), sent))
    assert sorted(stored(registry)) == sent


# --- mounts


def test_a_blob_is_mounted_from_another_repository(registry: MemoryRegistry) -> None:
    digest = registry.add_blob("base/debian", DATA)
    with connect(registry) as connection:
        assert mount_blob(connection, digest, "base/debian") is None
    assert stored(registry) == [DATA]
    assert registry.seen[-1].path == f"/v2/me/app/blobs/uploads/?mount={digest}&from=base/debian"


@pytest.mark.parametrize("can_mount", [True, False])
def test_a_blob_that_cannot_be_mounted_is_uploaded_in_the_same_session(
    registry: MemoryRegistry, *, can_mount: bool
) -> None:
    registry.can_mount = can_mount
    with connect(registry) as connection:
        session = mount_blob(connection, digest_of(DATA), "base/debian")
        assert session is not None
        upload_blob(connection, blob(), session)
    assert registry.methods() == ["GET", "POST", "PUT"]


def test_a_registry_that_refuses_mounts_begins_an_upload(registry: MemoryRegistry) -> None:
    registry.fail("POST", "mount=", answer_with(405))
    with connect(registry) as connection:
        assert mount_blob(connection, digest_of(DATA), "base/debian") is not None


def test_a_forbidden_source_is_no_error(registry: MemoryRegistry) -> None:
    registry.fail("POST", "mount=", answer_with(403))
    with connect(registry) as connection:
        assert mount_blob(connection, digest_of(DATA), "private/app") is not None


def test_a_forbidden_upload_is_an_error(registry: MemoryRegistry) -> None:
    registry.fail("POST", UPLOADS, answer_with(403), times=2)
    with connect(registry) as connection, pytest.raises(AuthError, match="HTTP 403"):
        mount_blob(connection, digest_of(DATA), "private/app")


def test_the_location_of_a_session_may_be_secret(registry: MemoryRegistry) -> None:
    with connect(registry) as connection:
        session = start_session(connection, digest_of(DATA))
    assert "state" in session.location
    assert "state" not in repr(session)
