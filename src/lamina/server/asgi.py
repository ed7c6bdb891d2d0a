"""The registry as an ASGI application, which any server for ASGI runs (ASGI specification 3.0, "HTTP").

Threads make the answers and read their bodies, because both may take long. The event loop waits for the clients: it
asks for the next piece of a body only after the client took the one before.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lamina.core.callbacks import ignore
from lamina.server.blob_files import CLOSE_TIMEOUT
from lamina.server.error_documents import RequestRefused
from lamina.server.guards import Guard, OpenGuard
from lamina.server.http_messages import FilePart, Piece, ServerRequest, ServerResponse
from lamina.server.metrics import AnsweredRequest, Metrics, OnAnswer
from lamina.server.repositories import Repositories
from lamina.server.respond import respond
from lamina.server.routes import BlobRoute, ManifestRoute, parse_route
from lamina.server.token_endpoint import TokenEndpoint
from lamina.server.tokens import TOKEN_PATH
from lamina.server.web_page import PAGE_PATH, MakePage, respond_with_page
from lamina.system.threads import ThreadPool

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Threads that wait for an image take no processor; a piece of a blob is read in a moment.
_IMAGE_THREADS, _ANSWER_THREADS, _BODY_THREADS = 128, 32, 32
MAX_WAITING = 4096
"""How many requests may wait for images that are made; all others for such images are refused until there are fewer."""
_HEALTH, _READY, _METRICS = "/healthz", "/readyz", "/metrics"
ZERO_COPY = "http.response.zerocopysend"
"""The extension of ASGI with which a server sends a part of a file itself ("Zero Copy Send")."""
_PIECE_SIZE = 1 << 18
_WAIT = 0.05
"""After how many seconds a body is asked again that had nothing yet."""
_LEFT = "the client left"
# The start of a request in absolute form, which servers have to accept (RFC 9112, 3.2.2).
_ORIGIN = re.compile(r"^https?://[^/]*", re.IGNORECASE)


class RegistryApplication:
    """An ASGI application that answers the clients of a registry; close it at the end.

    ``/healthz`` says that the process answers, ``/readyz`` whether it takes requests, and ``/metrics`` has the numbers
    for Prometheus. Only the first two are open to everybody.

    Args:
        repositories: the images.
        guard: decides who may send requests.
        metrics: counts the answers; None for no ``/metrics``.
        on_answer: is called with each answer after it was sent, in the thread of the event loop.
        make_page: makes the page for people at ``/``; None for no page.
        tokens: gives tokens to users at ``/token``; None for no tokens.
    """

    def __init__(
        self,
        repositories: Repositories,
        guard: Guard | None = None,
        metrics: Metrics | None = None,
        on_answer: OnAnswer = ignore,
        make_page: MakePage | None = None,
        tokens: TokenEndpoint | None = None,
    ) -> None:
        self._repositories = repositories
        self._guard = guard or OpenGuard()
        self._metrics = metrics
        self._on_answer = on_answer
        self._make_page = make_page
        self._tokens = tokens
        self._images = ThreadPool(_IMAGE_THREADS, "lamina-images")
        self._answers = ThreadPool(_ANSWER_THREADS, "lamina-answers")
        self._bodies = ThreadPool(_BODY_THREADS, "lamina-bodies")
        self._waiting = 0
        self.is_stopping = False
        """Whether ``/readyz`` says that another process should get the requests."""

    def close(self) -> None:
        """End the threads. An image that is still being made is needed by nobody, so it is hardly waited for."""
        for pool in (self._images, self._answers, self._bodies):
            pool.close(CLOSE_TIMEOUT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        began, started = time.time(), time.monotonic()
        request, path = _parse_scope(scope)
        answer = await self._answer(request)
        is_copied = ZERO_COPY not in scope.get("extensions", {})
        sent = await _send_response(answer.response, receive, send, self._bodies, is_copied=is_copied)
        if request.path in (_HEALTH, _READY):
            return
        answered = AnsweredRequest(
            began,
            (scope.get("client") or ("",))[0],
            answer.user,
            request.method,
            path,
            answer.response.status,
            sent.size,
            time.monotonic() - started,
            answer.response.problem or sent.problem,
            is_complete=not sent.problem,
        )
        if self._metrics:
            self._metrics.count(answered)
        self._on_answer(answered)

    async def _answer(self, request: ServerRequest) -> _Answer:
        if request.path == _HEALTH:
            return _Answer(_make_text(200, b"ok\n"))
        if request.path == _READY:
            return _Answer(_make_text(503, b"stopping\n") if self.is_stopping else _make_text(200, b"ready\n"))
        answer = partial(self._answer_in_thread, request)
        if not self._may_make_image(request):
            return await asyncio.wrap_future(self._answers.submit(answer))
        if self._waiting >= MAX_WAITING:
            headers = (("Retry-After", "5"),)
            refused = RequestRefused(429, "TOOMANYREQUESTS", "too many requests are waiting", headers=headers)
            return _Answer(refused.make_response())
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._images.submit(answer))
        finally:
            self._waiting -= 1

    def _may_make_image(self, request: ServerRequest) -> bool:
        """Return whether an image may have to be made for the answer. No other request waits for that."""
        try:
            route = parse_route(request.path)
        except RequestRefused:
            return False
        match route:
            case ManifestRoute(repository, target) | BlobRoute(repository, target) if target is not None:
                return not self._repositories.is_ready(repository, target)
        return False

    def _answer_in_thread(self, request: ServerRequest) -> _Answer:
        user = ""
        try:
            if request.path == TOKEN_PATH and self._tokens:
                return _Answer(*self._tokens.respond(request))
            user = self._guard.identify(request)
            if request.path == _METRICS and self._metrics:
                return _Answer(_make_text(200, self._metrics.dump(), self._metrics.content_type), user)
            if request.path == PAGE_PATH and self._make_page:
                return _Answer(respond_with_page(request, self._make_page), user)
            return _Answer(respond(request, self._repositories), user)
        except RequestRefused as refused:
            return _Answer(refused.make_response(), user)
        except Exception as error:  # noqa: BLE001 - the client gets an answer whatever happens, and the log says what
            response = RequestRefused(500, "UNKNOWN", "the server failed").make_response()
            return _Answer(replace(response, problem=repr(error)), user)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer to a request, and the user who sent it."""

    response: ServerResponse
    user: str = ""


@dataclass(frozen=True, slots=True)
class _SentBody:
    """How many bytes of a body were sent, and why it is not complete; empty if it is."""

    size: int
    problem: str = ""


def _parse_scope(scope: Scope) -> tuple[ServerRequest, str]:
    """Return the request, and its path with the query."""
    raw = scope.get("raw_path") or scope["path"].encode()
    path = _ORIGIN.sub("", raw.decode("latin-1"), count=1) or "/"
    query = scope.get("query_string", b"").decode("latin-1")
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    request = ServerRequest(scope["method"], path, query, headers, scope.get("scheme", "http"))
    return request, f"{path}?{query}" if query else path


def _make_text(status: int, text: bytes, content_type: str = "text/plain") -> ServerResponse:
    return ServerResponse(status, (("Content-Type", content_type), ("Content-Length", str(len(text)))), (text,))


async def _send_response(
    response: ServerResponse, receive: Receive, send: Send, pool: ThreadPool, *, is_copied: bool
) -> _SentBody:
    """Send an answer. One that breaks off ends without its last message, so the server closes the connection.

    With ``is_copied``, parts of files are read here, because the server does not send them itself.
    """
    headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if isinstance(response.body, tuple):
        body = b"".join(map(bytes, response.body))
        await send({"type": "http.response.body", "body": body})
        return _SentBody(len(body))
    leaving = asyncio.ensure_future(_wait_until_client_leaves(receive))
    try:
        pieces = _read_pieces(response.body) if is_copied else iter(response.body)
        return await _send_body(pieces, leaving, send, pool)
    finally:
        leaving.cancel()


async def _send_body(pieces: Iterator[Piece], leaving: asyncio.Future[None], send: Send, pool: ThreadPool) -> _SentBody:
    size = 0
    try:
        while (piece := await asyncio.wrap_future(pool.submit(partial(next, pieces, None)))) is not None:
            if not piece:
                await asyncio.wait({leaving}, timeout=_WAIT)
            if leaving.done():
                return _SentBody(size, _LEFT)
            if not piece:
                continue
            await send(_make_message(piece))
            size += len(piece)
    except ConnectionError:
        return _SentBody(size, _LEFT)
    except Exception as error:  # noqa: BLE001 - the client sees a connection that breaks off, and the log says why
        return _SentBody(size, str(error) or repr(error))
    finally:
        _close(pieces)
    await send({"type": "http.response.body", "body": b""})
    return _SentBody(size)


def _make_message(piece: Piece) -> MutableMapping[str, Any]:
    if isinstance(piece, FilePart):
        return {"type": ZERO_COPY, "file": piece, "offset": piece.offset, "count": piece.size, "more_body": True}
    return {"type": "http.response.body", "body": piece, "more_body": True}


def _read_pieces(body: Iterable[Piece]) -> Iterator[bytes]:
    """Yield small pieces of a body, so that many clients do not take much memory."""
    for piece in body:
        if isinstance(piece, FilePart) and piece:
            yield from map(bytes, piece.split(_PIECE_SIZE))
        elif isinstance(piece, FilePart):
            yield b""
        else:
            yield piece


def _close(pieces: Iterator[Piece]) -> None:
    """Close the file that a generator reads; one that a thread is still reading is closed with its last reference."""
    close = getattr(pieces, "close", None)
    if close and not getattr(pieces, "gi_running", False):
        close()


async def _wait_until_client_leaves(receive: Receive) -> None:
    message: Mapping[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = await receive()
