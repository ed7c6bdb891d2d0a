"""Blobs are asked for with HEAD, and fetched and checked with GET."""

import pytest
from tests.support.registry import QUICK, Fault, MemoryRegistry, RegistryHandler, answer_with, connect, digest_of

from lamina.errors import AuthError, FormatError, IntegrityError, RegistryError
from lamina.registry.blobs import find_blob, read_blob, read_blob_start
from lamina.registry.connection import RegistryConnection
from lamina.registry.credentials import Credentials

DATA = bytes(range(256)) * 4000  # 1 MB
BLOBS = "/blobs/sha256:"


def test_a_blob_is_found_with_one_request(registry: MemoryRegistry) -> None:
    digest = registry.add_blob("me/app", DATA)
    with connect(registry) as connection:
        assert find_blob(connection, digest)
        assert not find_blob(connection, digest_of(b"other"))
    assert registry.methods() == ["GET", "HEAD", "HEAD"]


@pytest.mark.parametrize(("status", "kind"), [(400, RegistryError), (403, AuthError), (500, RegistryError)])
def test_an_answer_that_says_neither_is_an_error(registry: MemoryRegistry, status: int, kind: type[Exception]) -> None:
    registry.fail("HEAD", BLOBS, answer_with(status), times=9)
    with connect(registry) as connection, pytest.raises(kind, match=f"HTTP {status}"):
        find_blob(connection, digest_of(DATA))


def test_a_blob_is_read(registry: MemoryRegistry) -> None:
    digest = registry.add_blob("me/app", DATA)
    with connect(registry) as connection:
        assert b"".join(read_blob(connection, digest, len(DATA))) == DATA


def cut_after(size: int, **headers: str) -> Fault:
    """Make a fault that sends ``size`` bytes of the blob and cuts the connection."""

    def fault(handler: RegistryHandler) -> bool:
        handler.send_response(200)
        for name, value in {"Content-Length": str(len(DATA)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(DATA[:size])
        return handler.cut()

    return fault


def refuse_range(handler: RegistryHandler) -> bool:
    """Refuse a range as a registry does that knows none, and leave other requests to the registry."""
    return "Range" in handler.headers and handler.refuse(416, "BLOB_UNKNOWN")


@pytest.mark.parametrize("headers", [{}, {"ETag": '"v1"'}, {"ETag": 'W/"v1"'}])
def test_a_cut_blob_is_continued_whatever_its_version(registry: MemoryRegistry, headers: dict[str, str]) -> None:
    digest = registry.add_blob("me/app", DATA)
    registry.fail("GET", BLOBS, cut_after(300_000, **headers))
    ranges: list[str] = []

    def note_range(handler: RegistryHandler) -> bool:
        ranges.extend(handler.headers.get_all("Range", []))
        return False

    registry.faults.append(note_range)
    with connect(registry) as connection:
        assert b"".join(read_blob(connection, digest, len(DATA))) == DATA
    assert registry.methods() == ["GET", "GET", "GET"]
    assert ranges == [f"bytes=300000-{len(DATA) - 1}"]


def test_a_cut_blob_of_a_registry_without_ranges_is_read_again(registry: MemoryRegistry) -> None:
    digest = registry.add_blob("me/app", DATA)
    registry.fail("GET", BLOBS, cut_after(300_000))
    registry.sends_ranges = False
    with connect(registry) as connection:
        assert b"".join(read_blob(connection, digest, len(DATA))) == DATA
    assert registry.methods() == ["GET", "GET", "GET"]


def test_a_cut_blob_of_a_registry_that_refuses_ranges_is_read_again(registry: MemoryRegistry) -> None:
    digest = registry.add_blob("me/app", DATA)
    registry.fail("GET", BLOBS, cut_after(300_000))
    registry.faults.append(refuse_range)
    with connect(registry) as connection:
        assert b"".join(read_blob(connection, digest, len(DATA))) == DATA
    assert registry.methods() == ["GET", "GET", "GET", "GET"]


def test_a_blob_that_changes_after_a_cut_is_refused(registry: MemoryRegistry) -> None:
    registry.fail("GET", BLOBS, cut_after(300_000))
    digest = digest_of(DATA)
    registry.blobs["me/app"] = {str(digest): DATA[:-1] + b"x"}
    with connect(registry) as connection, pytest.raises(IntegrityError, match="the digest that was asked for"):
        list(read_blob(connection, digest, len(DATA)))


def test_the_start_of_a_blob_is_read_from_a_registry_that_refuses_ranges(registry: MemoryRegistry) -> None:
    digest = registry.add_blob("me/app", DATA)
    with connect(registry) as connection:
        assert read_blob_start(connection, digest, 100) == DATA[:100]
        registry.faults.append(refuse_range)
        assert read_blob_start(connection, digest, 100) == DATA[:100]


@pytest.mark.parametrize(
    ("sent", "size", "message"),
    [
        (DATA[:-1] + b"x", len(DATA), "expected the digest that was asked for"),
        (DATA[:-1], len(DATA), "got 1023999 bytes, expected 1024000"),
        (DATA + b"x", len(DATA), "got more than 1024000 bytes, expected 1024000"),
        (b"", len(DATA), "got 0 bytes, expected 1024000"),
    ],
)
def test_other_bytes_are_an_integrity_error(registry: MemoryRegistry, sent: bytes, size: int, message: str) -> None:
    registry.fail("GET", BLOBS, answer_with(200, {}, sent))
    with connect(registry) as connection, pytest.raises(IntegrityError, match=message):
        for _ in read_blob(connection, digest_of(DATA), size):
            pass


def test_an_error_of_the_credentials_stays_what_it_is(registry: MemoryRegistry) -> None:
    def find(name: str) -> Credentials:
        raise FormatError("config.json", "x", "JSON")

    registry.authentication = "basic"
    with RegistryConnection(registry.reference(), find, policy=QUICK) as connection:
        with pytest.raises(FormatError, match=r"^config.json: got x"):
            find_blob(connection, digest_of(DATA))
        with pytest.raises(FormatError, match=r"^config.json: got x"):
            list(read_blob(connection, digest_of(DATA), len(DATA)))


def test_a_missing_blob_is_an_error_of_the_registry(registry: MemoryRegistry) -> None:
    with connect(registry) as connection, pytest.raises(RegistryError, match=r"blob sha256:.* got HTTP 404"):
        list(read_blob(connection, digest_of(DATA), len(DATA)))
