"""Blobs are asked for with HEAD, and fetched and checked with GET."""

import pytest
from tests.support.registry import QUICK, MemoryRegistry, RegistryHandler, answer_with, connect, digest_of

from lamina.errors import AuthError, FormatError, IntegrityError, RegistryError
from lamina.registry.blobs import find_blob, read_blob
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


def test_a_cut_blob_is_continued(registry: MemoryRegistry) -> None:
    digest = registry.add_blob("me/app", DATA)

    def cut_within(handler: RegistryHandler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.send_header("ETag", f'"{digest}"')
        handler.end_headers()
        handler.wfile.write(DATA[:300_000])
        return handler.cut()

    registry.fail("GET", BLOBS, cut_within)
    with connect(registry) as connection:
        assert b"".join(read_blob(connection, digest, len(DATA))) == DATA
    assert registry.methods() == ["GET", "GET", "GET"]


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
