"""Run ``lamina serve`` with generated images, as a process of its own on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import ENVIRONMENT, BenchError
from bench.trees import Tree

_TIMEOUT = 60
_KIB = 1024


def read_processor_time(pid: int) -> float:
    """Return how many seconds a process and those that it started have used processors so far (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = [
            int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
        ]
    except OSError:  # it has ended
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(read_processor_time, children))


@dataclass(frozen=True, slots=True)
class ServedBlob:
    """A layer of an image: its path on the server, its digest and its size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers at ``http://HOST:PORT``."""

    host: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    def read_memory(self) -> int:
        """Return the resident memory of the process in bytes (``VmRSS`` in proc(5)). Raises `BenchError`."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError as error:
            raise BenchError("lamina serve: got an end, expected it to run") from error
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * _KIB

    def list_layers(self, name: str) -> list[ServedBlob]:
        """Return the layers of an image, which is made now if it is not ready."""
        with urllib.request.urlopen(f"{self.url}/v2/{name}/manifests/latest", timeout=_TIMEOUT) as response:
            manifest = json.load(response)
        return [
            ServedBlob(f"/v2/{name}/blobs/{layer['digest']}", layer["digest"], layer["size"])
            for layer in manifest["layers"]
        ]


@contextlib.contextmanager
def serve(folder: Path, trees: dict[str, Tree], options: Sequence[str] = ()) -> Iterator[RunningServer]:
    """Serve an image of each tree under its name for the block; caches and the log are in ``folder``."""
    spec = folder / "lamina.toml"
    tables = (f'[{name}]\ncontents = ["{tree.root}"]\narchitecture = "amd64"\n' for name, tree in trees.items())
    spec.write_text("".join(tables))
    stores = [
        word for tree in trees.values() for place in (tree.graph, tree.folder) for word in ("--store", str(place))
    ]
    command = (sys.executable, "-P", "-m", "lamina", "serve", "--listen", "127.0.0.1:0", "--spec", str(spec))
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    variables = {**ENVIRONMENT, "XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(temporary)}
    variables["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            (*command, *stores, *options), stdout=subprocess.PIPE, stderr=log, text=True, env=variables
        )
    try:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise BenchError(f"lamina serve: got no URL, expected one: {(folder / 'log').read_text()[-500:]}")
        host, _, port = url.rpartition("/")[2].partition(":")
        yield RunningServer(host, int(port), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
