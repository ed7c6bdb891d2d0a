"""Count the answers of a server, and write the numbers in the text format of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lamina.server.error_documents import RequestRefused
from lamina.server.routes import VersionRoute, parse_route


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """A request and how it was answered.

    Attributes:
        time: when it came, in seconds since 1970.
        client: the address of the client, without the port.
        user: the user who is logged in; empty for nobody.
        method: such as ``GET``.
        path: the path and the query as the client sent them.
        status: the status code of the answer.
        size: how many bytes of the body were sent.
        seconds: how long it took until the last byte was sent.
        problem: why the request was refused, or why the answer is not complete; empty if all went well.
        is_complete: whether all of the answer was sent.
    """

    time: float
    client: str
    user: str
    method: str
    path: str
    status: int
    size: int
    seconds: float
    problem: str = ""
    is_complete: bool = True


OnAnswer = Callable[[AnsweredRequest], object]


class Metrics:
    """The numbers of one server. Raises `ImportError` if the library for them is not installed."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        names = ("kind", "status")
        self._requests = Counter("lamina_requests", "Requests that were answered.", names, registry=self._registry)
        self._bytes = Counter("lamina_sent_bytes", "Bytes of bodies that were sent.", registry=self._registry)
        self._broken = Counter("lamina_incomplete_answers", "Answers that broke off.", registry=self._registry)
        self._seconds = Histogram(
            "lamina_request_seconds", "Time until the last byte was sent.", ("kind",), registry=self._registry
        )
        started = Gauge("lamina_start_time_seconds", "When the server was started.", registry=self._registry)
        started.set(time.time())

    def count(self, answered: AnsweredRequest) -> None:
        """Count an answer."""
        kind = _classify(answered.path)
        self._requests.labels(kind, str(answered.status)).inc()
        self._bytes.inc(answered.size)
        self._broken.inc(not answered.is_complete)
        self._seconds.labels(kind).observe(answered.seconds)

    def dump(self) -> bytes:
        """Return all numbers as text."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


def open_metrics() -> Metrics | None:
    """Return new numbers, or None if the library for them is not installed."""
    try:
        return Metrics()
    except ImportError:
        return None


def _classify(path: str) -> str:
    """Return the kind of what a path names, of which there are few, whatever clients ask for."""
    try:
        route = parse_route(path.partition("?")[0])
    except RequestRefused:
        return "other"
    return "version" if isinstance(route, VersionRoute) else type(route).__name__.removesuffix("Route").lower()
