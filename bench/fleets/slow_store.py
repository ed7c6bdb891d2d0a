"""A binary cache that gives each connection a limited number of bytes in a second, like one far away."""

from __future__ import annotations

import http.server
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.servers import LocalServer, run_server

_CHUNK = 1 << 16


class _SlowRequest(http.server.SimpleHTTPRequestHandler):
    """Answers the requests of one connection, and waits after each chunk until the connection may have more."""

    protocol_version = "HTTP/1.1"

    def __init__(self, rate: float, *arguments: Any, **options: Any) -> None:
        self._rate = rate
        super().__init__(*arguments, **options)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        began, sent = time.monotonic(), 0
        while chunk := source.read(_CHUNK):
            outputfile.write(chunk)
            sent += len(chunk)
            time.sleep(max(0.0, began + sent / self._rate - time.monotonic()))

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serve_slowly(folder: Path, rate: float) -> Iterator[str]:
    """Serve the files of ``folder`` for the block, with ``rate`` bytes per second for each connection.

    Returns:
        The URL.
    """
    handler: Any = partial(_SlowRequest, rate, directory=str(folder))
    with run_server(LocalServer(handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"
