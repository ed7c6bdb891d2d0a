"""Connections of clients: how many there may be, and for how long a client may send or take nothing.

uvicorn closes connections that are idle after an answer. It waits for ever for the rest of a request, and for a client
that does not read its answer; a few slow clients could take all file descriptors of a server.
"""

from __future__ import annotations

import asyncio
import contextlib

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_TIMEOUT = 30.0
"""How many seconds a client may take to send a request, from its connection or the end of the answer before."""
READ_TIMEOUT = 300.0
"""For how many seconds a client may read nothing of an answer. A slow disk or another registry may hold it up."""
MAX_CONNECTIONS = 16_384
"""How many connections there may be, if the limit on open files allows it."""
_INTERVALS = 4  # the time limits are checked that many times while the shorter one passes
# Each connection may also have a blob open. The rest is for stores, layer caches and workers.
_FILES_PER_CONNECTION, _OTHER_FILES = 2, 128


class ClientConnection(H11Protocol):
    """A connection that is cut if its client sends or reads nothing for too long, or if there are too many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in H11Protocol
        """Begin to wait for a request."""
        super().connection_made(transport)
        now = self.loop.time()
        self._waiting_since = self._reading_since = now
        self._unsent = 0
        self._check = self.loop.call_later(self._interval, self._check_client)
        # uvicorn's own limit refuses the requests of all connections once there are too many.
        if len(self.connections) > count_connections():
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._check.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._reading_since = self.loop.time()
        super().resume_writing()

    @property
    def _interval(self) -> float:
        return min(REQUEST_TIMEOUT, READ_TIMEOUT) / _INTERVALS

    def _check_client(self) -> None:
        """Cut the connection if the client takes too long."""
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if unsent != self._unsent or not unsent:
            self._reading_since = now
        self._unsent = unsent
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or unsent:
            # Until the client has read all of an answer, it need not send the next request.
            self._waiting_since = now
        if now - self._waiting_since > REQUEST_TIMEOUT or now - self._reading_since > READ_TIMEOUT:
            # What close() would wait for may never be read.
            self.transport.abort()
        else:
            self._check = self.loop.call_later(self._interval, self._check_client)


def count_connections() -> int:
    """Return how many connections this process may have, after raising its limit on open files if that is allowed."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS * _FILES_PER_CONNECTION + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(min(MAX_CONNECTIONS, (soft - _OTHER_FILES) // _FILES_PER_CONNECTION), 1)
