"""Clients that pull from a server in all the ways of real ones, and check what they get.

Each client does one thing after another, drawn at random: it pulls an image, continues a blob, asks for what exists and
what does not, reads slowly, or leaves in the middle of a blob.
"""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from bench.serving.server import RunningServer, ServedBlob

_PIECE = 1 << 18
_TIMEOUT = 120
_SLOW_PIECE, _SLOW_PAUSE, _SLOW_PIECES = 1 << 14, 0.01, 50


@dataclass
class LoadResult:
    """The counts of all clients together; safe for many threads.

    Attributes:
        requests: the number of requests by what they were for.
        errors: what was wrong, with the number of times.
        size: the number of bytes in the bodies that were read.
    """

    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    size: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def count(self, kind: str, size: int) -> None:
        """Count a request and the bytes of its answer."""
        with self._lock:
            self.requests[kind] += 1
            self.size += size

    def fail(self, problem: str) -> None:
        """Count something that was wrong."""
        with self._lock:
            self.errors[problem] += 1


class Client:
    """A client with a connection of its own, which it opens again when that is necessary.

    Args:
        server: the server.
        images: the layers of each image, by its name.
        contents: the bytes of some blobs, by their digests; parts of them are compared.
        result: counts what happens.
        seed: the start of the random numbers.
    """

    def __init__(
        self,
        server: RunningServer,
        images: Mapping[str, list[ServedBlob]],
        contents: Mapping[str, bytes],
        result: LoadResult,
        seed: int,
    ) -> None:
        self._server = server
        self._images = images
        self._blobs = [blob for layers in images.values() for blob in layers]
        self._contents = contents
        self._result = result
        self._random = Random(seed)
        self._connection = self._connect()

    def run(self, end: float) -> None:
        """Send requests until `time.monotonic` returns ``end``."""
        kinds: dict[Callable[[], None], int] = {
            self._pull: 2,
            self._read_part: 30,
            self._ask_for_blob: 20,
            self._ask_for_manifest: 20,
            self._list_tags: 10,
            self._ask_for_nothing: 10,
            self._open_page: 4,
            self._leave: 3,
            self._read_slowly: 1,
        }
        while time.monotonic() < end:
            (act,) = self._random.choices([*kinds], [*kinds.values()])
            try:
                act()
            except (OSError, http.client.HTTPException) as error:
                self._result.fail(f"{act.__name__}: {error!r}")
                self._connect_again()
        self._connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._server.host, self._server.port, timeout=_TIMEOUT)

    def _connect_again(self) -> None:
        self._connection.close()
        self._connection = self._connect()

    def _send(self, kind: str, method: str, path: str, expected: int, **headers: str) -> bytes:
        """Send a request, compare the status, and return the body."""
        self._connection.request(method, path, headers=headers)
        with self._connection.getresponse() as response:
            body = response.read()
        self._result.count(kind, len(body))
        self._check(kind, response.status, expected)
        return body

    def _check(self, kind: str, got: object, expected: object) -> None:
        if got != expected:
            self._result.fail(f"{kind}: got {got}, expected {expected}")

    def _pull(self) -> None:
        """Do what an engine does that has no layer of an image."""
        name = self._random.choice([*self._images])
        self._send("manifest", "GET", f"/v2/{name}/manifests/latest", 200)
        for blob in self._images[name]:
            digest = hashlib.sha256()
            self._connection.request("GET", blob.path)
            with self._connection.getresponse() as response:
                while piece := response.read(_PIECE):
                    digest.update(piece)
            self._result.count("whole blob", blob.size)
            self._check("whole blob", f"sha256:{digest.hexdigest()}", blob.digest)

    def _read_part(self) -> None:
        blob = self._random.choice(self._blobs)
        start = self._random.randrange(blob.size)
        end = min(blob.size, start + self._random.randrange(1, 2 << 20))
        part = self._send("part", "GET", blob.path, 206, Range=f"bytes={start}-{end - 1}")
        self._check("size of a part", len(part), end - start)
        if content := self._contents.get(blob.digest):
            self._check("bytes of a part", part == content[start:end], True)

    def _ask_for_blob(self) -> None:
        self._send("HEAD of a blob", "HEAD", self._random.choice(self._blobs).path, 200)

    def _ask_for_manifest(self) -> None:
        name = self._random.choice([*self._images])
        self._send("HEAD of a manifest", "HEAD", f"/v2/{name}/manifests/latest", 200)

    def _list_tags(self) -> None:
        name = self._random.choice([*self._images])
        self._send("tags", "GET", f"/v2/{name}/tags/list?n=1", 200)

    def _ask_for_nothing(self) -> None:
        digest = self._random.randbytes(32).hex()
        name = self._random.choice([*self._images])
        self._send("missing blob", "GET", f"/v2/{name}/blobs/sha256:{digest}", 404)
        self._send("missing image", "GET", f"/v2/{digest}/manifests/latest", 404)

    def _open_page(self) -> None:
        self._send("page", "GET", "/", 200)

    def _leave(self) -> None:
        """Leave in the middle of the largest blob."""
        largest = max(self._blobs, key=lambda blob: blob.size)
        self._connection.request("GET", largest.path)
        response = self._connection.getresponse()
        self._result.count("client that leaves", len(response.read(_PIECE)))
        self._connect_again()

    def _read_slowly(self) -> None:
        largest = max(self._blobs, key=lambda blob: blob.size)
        self._connection.request("GET", largest.path)
        response = self._connection.getresponse()
        size = 0
        for _ in range(_SLOW_PIECES):
            size += len(response.read(_SLOW_PIECE))
            time.sleep(_SLOW_PAUSE)
        self._result.count("slow reader", size)
        self._connect_again()


def run_clients(
    server: RunningServer,
    images: Mapping[str, list[ServedBlob]],
    contents: Mapping[str, bytes],
    count: int,
    seconds: float,
    on_memory: Callable[[int], object],
    interval: float,
) -> LoadResult:
    """Let ``count`` clients send requests for some seconds.

    Args:
        server: the server.
        images: the layers of each image, by its name.
        contents: the bytes of some blobs, by their digests.
        count: the number of clients.
        seconds: how long they send requests.
        on_memory: is called with the resident memory of the server in bytes from time to time.
        interval: the seconds between two calls.

    """
    result, end = LoadResult(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=Client(server, images, contents, result, seed).run, args=(end,), daemon=True)
        for seed in range(count)
    ]
    for thread in threads:
        thread.start()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(interval, left))
        on_memory(server.read_memory())
    for thread in threads:
        thread.join(_TIMEOUT)
        if thread.is_alive():
            result.fail("a client: got no end, expected one")
    return result
