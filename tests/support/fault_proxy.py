"""An HTTP proxy in front of one server: it counts what passes through it, and makes chosen requests fail.

It passes all bytes on unchanged, so a server that builds URLs from the header ``Host`` names the proxy in them. The
requests of all connections are numbered from 1, in the order in which they arrive; those that no fault concerns are not
counted.
"""

from __future__ import annotations

import random
import re
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from io import BufferedIOBase

_PIECE = 1 << 16
_DELAY_SECONDS = 0.03
_NO_BODY = {204, 304}


class ProxyFault(Enum):
    """A fault that takes the place of an ordinary exchange; the number is the status of an answer."""

    CUT_BEFORE = "the connection is cut before the request reaches the server"
    CUT_IN_REQUEST = "the connection is cut in the middle of the request's body"
    CUT_IN_RESPONSE = "the connection is cut in the middle of the response"
    LOSE_RESPONSE = "the server does what was asked, and the connection is cut before the response"
    DELAY = "the response is late"
    UNAUTHORIZED = 401
    TOO_MANY_REQUESTS = 429
    SERVER_ERROR = 500
    BAD_GATEWAY = 502
    UNAVAILABLE = 503


_WITH_RETRY_AFTER = {ProxyFault.TOO_MANY_REQUESTS, ProxyFault.UNAVAILABLE}
ChooseFault = Callable[[int], ProxyFault | None]
"""Returns the fault for the request with a number."""
Concerns = Callable[[str, str], bool]
"""Returns whether the request with a method and a path is numbered, and may fail."""


def no_faults(number: int) -> None:
    """Let every request pass."""


def fail_every(interval: int, seed: int, faults: tuple[ProxyFault, ...] = tuple(ProxyFault)) -> ChooseFault:
    """Let one of ``interval`` consecutive requests fail; ``seed`` says which one, and how."""
    first = random.Random(seed).randrange(interval)

    def choose(number: int) -> ProxyFault | None:
        if number % interval != first:
            return None
        return random.Random(f"{seed} {number}").choice(faults)

    return choose


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that reached the proxy.

    Attributes:
        method: its method.
        path: its path and query.
        status: the status of the response that was sent back, or 0 if there was none.
        sent: how many bytes came from the client, with the headers.
        received: how many bytes went to the client, with the headers.
        fault: what happened instead of an ordinary exchange.
    """

    method: str
    path: str
    status: int
    sent: int
    received: int
    fault: ProxyFault | None


class FaultProxy(socketserver.ThreadingTCPServer):
    """A proxy in front of ``target``, a ``HOST:PORT``.

    ``choose_fault``, ``concerns``, ``challenge``, which a 401 has in its ``WWW-Authenticate``, ``retry_after``, and
    ``document``, which the answers of the proxy itself have, may be replaced at any time.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str, choose_fault: ChooseFault = no_faults) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        host, _, port = target.rpartition(":")
        self.target = host, int(port)
        self.choose_fault = choose_fault
        self.concerns: Concerns = lambda method, path: True
        self.challenge = 'Basic realm="fault"'
        self.retry_after = 1
        self.document = b""
        self.exchanges: list[Exchange] = []
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._count = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def sent(self) -> int:
        """The number of bytes that clients sent."""
        return sum(exchange.sent for exchange in self.exchanges)

    @property
    def received(self) -> int:
        """The number of bytes that clients received."""
        return sum(exchange.received for exchange in self.exchanges)

    def methods(self) -> Counter[str]:
        """Count the requests of each method."""
        return Counter(exchange.method for exchange in self.exchanges)

    def next_fault(self, method: str, path: str) -> ProxyFault | None:
        if not self.concerns(method, path):
            return None
        with self._lock:
            self._count += 1
            return self.choose_fault(self._count)

    def handle_error(self, *arguments: object) -> None:
        pass  # the client hung up


class _CutError(OSError):
    """The connection is to be closed."""


@dataclass(slots=True)
class _Message:
    """A request or a response: its head has been read from ``source``, and its body has not."""

    head: bytes
    source: BufferedIOBase
    has_body: bool = True

    @property
    def words(self) -> list[str]:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)

    @property
    def status(self) -> int:
        return int(self.words[1])

    @property
    def length(self) -> int | None:
        """The length of the body, or None if it is not stated."""
        found = re.search(rb"\r\nContent-Length: *([0-9]+)", self.head, re.IGNORECASE)
        return int(found[1]) if found else None

    @property
    def is_chunked(self) -> bool:
        return re.search(rb"\r\nTransfer-Encoding: *chunked", self.head, re.IGNORECASE) is not None

    def body(self, *, is_response: bool) -> Iterator[bytes]:
        """Yield the body as it is on the wire, with the framing of chunks."""
        if not self.has_body:
            return
        if self.is_chunked:
            yield from self._chunks()
        elif self.length is not None or not is_response:
            yield from self._pieces(self.length or 0)
        else:
            while piece := self.source.read1(_PIECE):
                yield piece

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.source.read1(min(size, _PIECE))
            if not piece:
                raise _CutError
            size -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self.source.readline(_PIECE)
            yield line
            size = int(line.partition(b";")[0], 16)
            yield from self._pieces(size)
            end = self.source.readline(_PIECE)
            yield end
            if not size:
                while end.strip():  # trailers
                    end = self.source.readline(_PIECE)
                    yield end
                return


def _read_message(source: BufferedIOBase) -> _Message:
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        line = source.readline(_PIECE)
        if not line:
            raise _CutError
        head += line
    return _Message(bytes(head), source)


class _ProxyHandler(socketserver.StreamRequestHandler):
    """The requests of one connection."""

    server: FaultProxy
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(OSError), ExitStack() as stack:
            upstream = stack.enter_context(socket.create_connection(self.server.target))
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            answers = stack.enter_context(upstream.makefile("rb"))
            while self.rfile.peek(1)[:1].isupper():  # type: ignore[attr-defined] # TLS is refused at once
                request = _read_message(self.rfile)
                _Exchanger(self.server, request, self.connection, upstream, answers).run()


class _Exchanger:
    """Passes one request and its response on, or makes it fail. Raises `OSError` if the connection is to be closed."""

    def __init__(
        self,
        server: FaultProxy,
        request: _Message,
        client: socket.socket,
        upstream: socket.socket,
        answers: BufferedIOBase,
    ) -> None:
        self._server = server
        self._request = request
        self._client = client
        self._upstream = upstream
        self._answers = answers
        self._fault = server.next_fault(*request.words[:2])
        self._status, self._sent, self._received = 0, len(request.head), 0

    def run(self) -> None:
        try:
            self._run()
        finally:
            method, path, _ = self._request.words
            counts = self._status, self._sent, self._received
            self._server.exchanges.append(Exchange(method, path, *counts, self._fault))

    def _run(self) -> None:
        if self._fault is ProxyFault.CUT_BEFORE:
            raise _CutError
        if self._fault and isinstance(self._fault.value, int):
            self._answer(self._fault.value)
            return
        self._upstream.sendall(self._request.head)
        self._send_body()
        if self._fault is ProxyFault.DELAY:
            self._server.stopped.wait(_DELAY_SECONDS)
        self._pass_response()

    def _answer(self, status: int) -> None:
        """Read the request, and answer it instead of the server."""
        for piece in self._request.body(is_response=False):
            self._sent += len(piece)
        more = f"Retry-After: {self._server.retry_after}\r\n" if ProxyFault(status) in _WITH_RETRY_AFTER else ""
        if status == ProxyFault.UNAUTHORIZED.value:
            more = f"WWW-Authenticate: {self._server.challenge}\r\n"
        self._status = status
        document = b"" if self._request.words[0] == "HEAD" else self._server.document
        head = f"HTTP/1.1 {status} Fault\r\nContent-Length: {len(document)}\r\n{more}\r\n"
        self._respond(head.encode() + document)

    def _send_body(self) -> None:
        is_cut = self._fault is ProxyFault.CUT_IN_REQUEST
        half = (self._request.length or 0) // 2
        passed = 0
        for piece in self._request.body(is_response=False):
            self._sent += len(piece)
            if is_cut and passed + len(piece) >= half:
                self._upstream.sendall(piece[: half - passed])
                raise _CutError
            self._upstream.sendall(piece)
            passed += len(piece)
        if is_cut:
            raise _CutError  # there is no body

    def _pass_response(self) -> None:
        response = _read_message(self._answers)
        while response.status < 200:
            self._respond(response.head)
            response = _read_message(self._answers)
        response.has_body = self._request.words[0] != "HEAD" and response.status not in _NO_BODY
        if self._fault is ProxyFault.LOSE_RESPONSE:
            raise _CutError
        is_cut = self._fault is ProxyFault.CUT_IN_RESPONSE
        if is_cut and not (response.has_body and response.length):
            self._respond(response.head[: len(response.head) // 2])
            raise _CutError
        self._status = response.status
        self._respond(response.head)
        for piece in response.body(is_response=True):
            self._respond(piece[: len(piece) // 2] if is_cut else piece)
            if is_cut:
                raise _CutError
        if response.has_body and response.length is None and not response.is_chunked:
            raise _CutError  # the end of the connection is the end of the body

    def _respond(self, data: bytes) -> None:
        self._client.sendall(data)
        self._received += len(data)


@contextmanager
def serve_faults(target: str, choose_fault: ChooseFault = no_faults) -> Iterator[FaultProxy]:
    """Run a proxy in front of ``target`` on a free port of this machine for the block."""
    with FaultProxy(target, choose_fault) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            server.shutdown()
            thread.join()
