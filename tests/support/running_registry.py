"""A registry of images on demand that listens on a free port of this machine."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from tests.support.served_images import RegistryAnswer

from lamina.server.asgi import RegistryApplication
from lamina.server.guards import Guard
from lamina.server.metrics import AnsweredRequest, Metrics
from lamina.server.repositories import Repositories
from lamina.server.running import RegistryServer, listen


@dataclass
class RunningRegistry:
    """A server, and the requests that it has answered."""

    port: int
    application: RegistryApplication
    answered: SimpleQueue[AnsweredRequest] = field(default_factory=SimpleQueue)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> RegistryAnswer:
        """Send a request; ``if_none_match`` is the header ``If-None-Match``."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return RegistryAnswer(response.status, named, response.read())

    def get_json(self, path: str) -> Any:
        return json.loads(self.get(path).body)


@contextmanager
def run_registry(repositories: Repositories, guard: Guard | None = None) -> Iterator[RunningRegistry]:
    answered: SimpleQueue[AnsweredRequest] = SimpleQueue()
    application = RegistryApplication(repositories, guard, Metrics(), answered.put)
    listening = listen("127.0.0.1", 0)
    running = RunningRegistry(listening.getsockname()[1], application, answered)
    with RegistryServer(application).run_in_thread(listening):
        yield running
    application.close()
