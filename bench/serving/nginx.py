"""Run nginx on loopback, which serves the files of a folder with ``sendfile``."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measuring import BenchError

_START_LIMIT = 30
_CONFIG = """\
daemon off;
worker_processes auto;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {files};
    }}
}}
"""


def find_nginx() -> str:
    """Return the program. Raises `BenchError` if it is not installed."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if not found:
        raise BenchError("nginx: got no such program, expected one (Debian has it in the package nginx-light)")
    return found


@contextlib.contextmanager
def serve_files(folder: Path, files: Path) -> Iterator[tuple[str, int]]:
    """Serve ``files`` for the block; return the URL and the process. Raises `BenchError`.

    The files of nginx itself are in ``folder``.
    """
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, files=files, port=port))
    # As root, nginx reads files as another user, who may not enter temporary folders.
    user = ("-g", "user root;") if os.geteuid() == 0 else ()
    process = subprocess.Popen((find_nginx(), "-e", f"{folder}/errors", "-c", str(config), *user))
    try:
        _wait(process, port, folder)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    end = time.monotonic() + _START_LIMIT
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise BenchError(f"nginx: got no answer, expected one: {(folder / 'errors').read_text()[-500:]}")
