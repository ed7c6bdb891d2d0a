"""Run the application of a registry with uvicorn, on a socket that listens already."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from lamina.errors import InputError, OutputError
from lamina.server.asgi import RegistryApplication

if TYPE_CHECKING:
    import uvicorn

STOP_TIMEOUT = 30
"""How many seconds the answers that are being sent may take after the server was told to stop."""
_BACKLOG = 1024
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a certificate with its chain, and of its private key, both in PEM."""

    certificate: str
    key: str


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one. Raises `OutputError` if that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns the delay of small packets off only for sockets that state their protocol.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        opened.close()
        hint = "--listen HOST:PORT names another address"
        raise OutputError(f"{host}:{port}", error, "an address to listen on", hint=hint) from error
    return opened


class RegistryServer:
    """A server of one application, which runs once.

    Args:
        application: answers the requests; it is told when the server stops.
        tls: the certificate; None for plain HTTP.

    Raises:
        InputError: the certificate or its key cannot be read, or they do not fit together.

    """

    def __init__(self, application: RegistryApplication, tls: TlsFiles | None = None) -> None:
        self._application = application
        self._server = _make_server(application, tls)

    def run_until_signal(self, listening: socket.socket) -> None:
        """Answer requests until SIGINT or SIGTERM, and then until the answers that are being sent are complete.

        It takes at most `STOP_TIMEOUT` seconds after the signal, and a second signal breaks all answers off. Call it in
        the main thread. The socket is closed.
        """
        previous = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            # In a thread, uvicorn leaves the signals alone.
            thread = self._start(listening)
            while thread.is_alive():
                thread.join(0.2)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def run_in_thread(self, listening: socket.socket) -> Iterator[None]:
        """Answer requests for the block, in a thread. The socket is closed."""
        thread = self._start(listening)
        try:
            yield
        finally:
            self._server.should_exit = True
            thread.join()

    def _start(self, listening: socket.socket) -> threading.Thread:
        arguments = {"sockets": [listening]}
        thread = threading.Thread(target=self._server.run, kwargs=arguments, name="lamina-server", daemon=True)
        thread.start()
        return thread

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._server.force_exit = self._server.should_exit
        self._server.should_exit = self._application.is_stopping = True


def _make_server(application: RegistryApplication, tls: TlsFiles | None) -> uvicorn.Server:
    import uvicorn  # here, because no other verb needs it

    from lamina.server.zero_copy import SendfileConnection

    config = uvicorn.Config(
        application,
        loop="asyncio",
        http=SendfileConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_TIMEOUT,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        names = f"{tls.certificate} and {tls.key}" if tls else "TLS"
        raise InputError(names, error, "a certificate in PEM and its private key") from error
    return uvicorn.Server(config)
