"""The example that streams an image into an engine, with real engines."""

import os
import shlex
import subprocess
import sys

from tests.integration.engines import Engine
from tests.support.example_store import CACHE, KEY, hello
from tests.support.paths import EXAMPLES


def test_the_example_streams_an_image_into_an_engine(engine: Engine) -> None:
    command = [
        sys.executable,
        str(EXAMPLES / "stream_into_docker.py"),
        str(hello()),
        "--store",
        CACHE,
        "--trusted-key",
        KEY,
    ]
    load = shlex.join([*engine.command, "load"])
    subprocess.run([*command, "--engine", load], env={**os.environ, **engine.environment}, check=True)
    try:
        assert engine.run("hello:latest", "/bin/hello").stdout == "Hello, world!\n"
    finally:
        engine.remove("hello:latest")
