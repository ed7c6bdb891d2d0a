"""Servers with random hostile responses: a fetch ends with the same store as from an honest cache, or with an error.

If an honest cache is named too, the fetch always succeeds. ``LAMINA_ATTACKS`` is the number of servers; the number of
each server is the seed of its responses.
"""

from __future__ import annotations

import gc
import gzip
import os
import random
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.binary_cache import KEY, Cache, check_store, example, list_leftovers
from tests.support.examples import scale

import lamina
from lamina.core.names import StorePath
from lamina.errors import Error
from lamina.transports.retry import RetryPolicy, use_policy

# One attack in many forms; the unit tests of each room have the rules.
pytestmark = pytest.mark.integration

ATTACKS = int(os.environ.get("LAMINA_ATTACKS") or scale(24))
QUICK = RetryPolicy(
    connect_timeout=1, read_timeout=0.15, rate_window=0.3, attempts=2, initial_delay=0.001, max_delay=0.01
)
SECRET, TOKEN = "hunter2secret", "hunter2token"
PATHS = 4

Answer = Callable[[random.Random, bytes], bytes]
"""Returns the bytes that are sent instead of a file."""


def whole(content: bytes, status: str = "200 OK", **headers: object) -> bytes:
    fields = {"Content-Length": len(content), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + content


def flipped(chance: random.Random, content: bytes) -> bytes:
    data = bytearray(content or b"x")
    for _ in range(chance.choice([1, 3, 30])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return whole(bytes(data))


def cut(chance: random.Random, content: bytes) -> bytes:
    answer = whole(content)
    return answer[: chance.randrange(len(answer))]


def some_status(chance: random.Random, content: bytes) -> bytes:
    status = chance.choice([100, 201, 204, 206, 300, 304, 400, 401, 402, 403, 404, 405, 407, 408, 410, 416, 418, 425])
    status = chance.choice([status, 429, 451, 500, 501, 502, 503, 504, 505, 511, 599, 999])
    headers = {"Retry_After": chance.choice(["0", "-1", "soon", None]), "WWW_Authenticate": chance.choice(["x", None])}
    return whole(chance.choice([b"", content, b"<Error><Code>SlowDown</Code></Error>"]), f"{status} No", **headers)


def redirect(chance: random.Random, content: bytes) -> bytes:
    location = chance.choice(
        [
            "",
            "/",
            "//",
            "x",
            "?",
            "file:///etc/passwd",
            "http://[",
            "http://127.0.0.1:1/",
            "ftp://x/",
            "\xff",
            "\t",
            ".",
        ]
    )
    return whole(b"", f"{chance.choice([301, 302, 303, 307, 308])} No", Location=location)


def lengths(chance: random.Random, content: bytes) -> bytes:
    length = chance.choice([0, 1, len(content) - 1, len(content) + 1, 1 << 40, 1 << 80, -1, "x", "", "1, 2", "0x10"])
    return whole(content, Content_Length=length)


def chunked(chance: random.Random, content: bytes) -> bytes:
    size = chance.choice([f"{len(content):x}", f"{len(content) + 9:x}", "-1", "g", "", "f" * 40, "1;" + "x" * 5000])
    end = chance.choice([b"\r\n0\r\n\r\n", b"\r\n", b"", b"\r\n0\r\nX: y\r\n\r\n", b"\r\n0\r\n" + b"X: y\r\n" * 9000])
    return whole(size.encode() + b"\r\n" + content + end, Content_Length=None, Transfer_Encoding="chunked")


def coded(chance: random.Random, content: bytes) -> bytes:
    coding = chance.choice(["gzip", "br", "zstd", "deflate", "gzip, gzip", "gzip, " * 50, "x", "\x7f", "identity"])
    data = chance.choice([content, gzip.compress(content), gzip.compress(content)[:-3], gzip.compress(bytes(1 << 24))])
    return whole(data, Content_Encoding=coding)


def heads(chance: random.Random, content: bytes) -> bytes:
    head = chance.choice(
        [
            b"",
            b"\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"HTTP/0.9 200\r\n\r\n",
            b"HTTP/9.9 200 OK\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 " + b"2" * 9000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA\0B: c\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" * 30,
            b"\x16\x03\x01" + bytes(chance.randrange(256) for _ in range(100)),
        ]
    )
    return head + chance.choice([content, b""])


def ranges(chance: random.Random, content: bytes) -> bytes:
    value = chance.choice(["bytes 0-1/2", "bytes 5-1/9", "bytes */0", "bytes 0-0/*", "x", "", "bytes 1-2/3/4"])
    return whole(content, chance.choice(["206 Partial", "416 No"]), Content_Range=value, ETag=f'"{chance.random()}"')


def lies(chance: random.Random, content: bytes) -> bytes:
    """Replace one line of a text file."""
    lines = content.split(b"\n")
    number = chance.randrange(len(lines))
    key = lines[number].partition(b":")[0]
    value = chance.choice(
        [b"", b"0", b"../../etc/passwd", b"file:///etc/passwd", b"http://127.0.0.1:1/x", b"\xff", b"//x"]
    )
    lines[number] = chance.choice([key + b": " + value, b"", value, lines[0], b"CA: fixed:r:sha256:" + b"0" * 52])
    return whole(b"\n".join(lines))


def no_response(chance: random.Random, content: bytes) -> bytes:
    return b""


ANSWERS: list[Answer] = [flipped, cut, some_status, redirect, lengths, chunked, coded, heads, ranges, lies, no_response]


class Attacker(socketserver.ThreadingTCPServer):
    """Serves ``folder`` below ``prefix``; a share of the responses, chosen by the seed, are from `ANSWERS`."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, folder: Path, seed: int, prefix: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.folder = folder
        self.prefix = prefix
        self.chance = random.Random(seed)
        self.honesty = self.chance.choice([0.3, 0.7, 0.9])
        self.lock = threading.Lock()

    def handle_error(self, *arguments: object) -> None:
        pass  # the client hung up


class Asked(socketserver.StreamRequestHandler):
    server: Attacker

    def handle(self) -> None:
        with suppress(OSError):
            line = self.rfile.readline(10_000)
            while self.rfile.readline(10_000).strip():
                pass
            name = line.split(b" ")[1].decode().removeprefix(self.server.prefix).lstrip("/") if b" " in line else ""
            file = self.server.folder / name
            content = file.read_bytes() if file.is_file() else None
            with self.server.lock:
                chance = self.server.chance
                is_honest = chance.random() < self.server.honesty
                honest = whole(content) if content is not None else whole(b"", "404 No")
                answer = honest if is_honest else chance.choice(ANSWERS)(chance, content or b"")
            self.wfile.write(answer)


@contextmanager
def run_attacker(folder: Path, seed: int, prefix: str = "") -> Iterator[int]:
    with Attacker(folder, seed, prefix) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cache, StorePath]:
    made = Cache(tmp_path_factory.mktemp("cache") / "cache")
    return made, example(made)


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    before = set(threading.enumerate())
    with use_policy(QUICK):
        yield
    # Threads whose results are no longer needed keep their connections open until the last response. The next test must
    # not see them.
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("lamina-"):
            thread.join(5)
    gc.collect()


def fetch(root: StorePath, folder: Path, *stores: str) -> Error | None:
    """Fetch ``root`` and return the error, if any; check what must hold in either case."""
    error: Error | None = None
    warnings: tuple[str, ...] = ()
    try:
        warnings = lamina.fetch_paths(
            [str(root)], embedded_store=folder, store=stores, trusted_keys=str(KEY.public)
        ).warnings
    except Error as caught:
        error = caught
    messages: list[str] = list(warnings)
    cause: BaseException | None = error
    while cause:
        messages += [str(cause), repr(cause)]
        cause = cause.__cause__ or cause.__context__
    assert "hunter2" not in "".join(messages)
    if folder.exists():
        assert (len(check_store(folder)) == PATHS) or error
        assert not list_leftovers(folder)
    if error:
        assert error.exit_code in (3, 5, 6)
        assert len(str(error)) < 4000
    return error


def url_of(kind: str, port: int) -> str:
    return f"http://127.0.0.1:{port}" if kind == "http" else f"s3://bucket?endpoint=127.0.0.1:{port}&scheme=http"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ["http", "s3"])
@pytest.mark.parametrize("seed", range(ATTACKS))
def test_an_attack_ends_in_the_honest_store_or_a_named_error(
    seed: int, kind: str, cache: tuple[Cache, StorePath], tmp_path: Path
) -> None:
    made, root = cache
    prefix = "/bucket" if kind == "s3" else ""
    with run_attacker(made.folder, seed, prefix) as port:
        fetch(root, tmp_path / "alone", url_of(kind, port))
        assert fetch(root, tmp_path / "both", url_of(kind, port), made.url) is None
