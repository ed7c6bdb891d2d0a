"""``lamina serve`` as a process of its own, on a free port of this machine."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.support.fake_nix_store import MODULE
from tests.support.served_images import RegistryAnswer


@dataclass
class Serving:
    """A server; ``log`` is the file of its answers."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def address(self) -> str:
        return self.url.rpartition("/")[2]

    def get(
        self, path: str, context: ssl.SSLContext | None = None, headers: dict[str, str] | None = None
    ) -> RegistryAnswer:
        request = urllib.request.Request(self.url + path, headers=headers or {})
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=60) as response:
                named = {name.lower(): value for name, value in response.headers.items()}
                return RegistryAnswer(response.status, named, response.read())
        except HTTPError as error:
            return RegistryAnswer(
                error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()
            )

    def get_json(self, path: str) -> Any:
        return json.loads(self.get(path).body)

    def read_log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the server, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serve(
    folder: Path,
    *arguments: str | Path,
    listen: str = "127.0.0.1:0",
    layer_cache: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Serving]:
    """Run ``lamina serve`` for the block, with its log in ``folder``, and by default its layer cache too."""
    log = folder / "serve.log"
    own = ("--listen", listen, "--layer-cache", layer_cache or str(folder / "layers.sqlite"))
    with log.open("w") as stderr:
        env = {**os.environ, **(environment or {})}
        command = (*MODULE, "serve", *own, *map(str, arguments))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=env)
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url, log.read_text()
        yield Serving(url, process, log)
    finally:
        process.kill()
        process.communicate()
