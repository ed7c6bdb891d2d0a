"""HTTP servers on a free port of this machine, each request in a thread of its own."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar


class LocalServer(http.server.ThreadingHTTPServer):
    """A server that ends its connections with itself.

    Otherwise each connection that a client keeps open would keep a thread, and its socket, until the end of the run.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._open_connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open_connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open_connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in tuple(self._open_connections):
            with suppress(OSError):  # closed by the client
                # not the method of TLS, which is not made for two threads
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, *arguments: object) -> None:
        pass  # the client hung up


AnyServer = TypeVar("AnyServer", bound=LocalServer)


@contextmanager
def run_server(server: AnyServer) -> Iterator[AnyServer]:
    """Answer requests for the block, and then close the server."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
