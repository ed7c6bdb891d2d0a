"""Compare a push to a registry with skopeo, which copies a docker-archive of the same image.

Both push to one docker-registry on loopback. It keeps nothing in memory, so it is emptied by deleting its files.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import BenchError, Command, Side, measure_seconds
from bench.workloads import PlannedWorkload

REGISTRY, SKOPEO = "docker-registry", "skopeo"
_ADDRESS = re.compile(r"listening on (127\.0\.0\.1:\d+)")
# How long to wait for the registry to listen, in seconds.
_START_LIMIT = 30


@dataclass(frozen=True, slots=True)
class ServedRegistry:
    """A docker-registry that serves ``folder`` at ``address``, and a docker-archive of the image that is pushed."""

    folder: Path
    address: str
    planned: PlannedWorkload

    @property
    def archive(self) -> Path:
        """The docker-archive that skopeo copies."""
        return self.folder / "image.tar"

    def push(self) -> Side:
        """Return the side that pushes with lamina, from scratch."""
        command = self._make_push("--no-layer-cache", "--no-cache-from")
        return Side((command,), prepare=self.clear)

    def push_again(self) -> Side:
        """Return the side that pushes the image which the run before has pushed."""
        return Side((self._make_push("--layer-cache", str(self.folder / "pushed.sqlite")),))

    def copy(self) -> Side:
        """Return the side that copies the archive with skopeo, which compresses with gzip too."""
        return Side((self._make_copy(),), prepare=self.clear)

    def copy_again(self) -> Side:
        """Return the side that copies the archive which the run before has copied."""
        return Side((self._make_copy(),))

    def clear(self) -> None:
        """Delete everything in the registry."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _make_push(self, *options: str) -> Command:
        return self.planned.work.lamina("push", *options, "--to", f"{self.address}/ours:1")

    def _make_copy(self) -> Command:
        target = f"docker://{self.address}/theirs:1"
        options = ("--insecure-policy", "--tmpdir", str(self.folder))
        return (
            SKOPEO,
            *options,
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            f"docker-archive:{self.archive}",
            target,
        )


@contextlib.contextmanager
def serve_registry(planned: PlannedWorkload, folder: Path) -> Iterator[ServedRegistry]:
    """Start a docker-registry for the block, and write the archive for skopeo. Raises `BenchError`."""
    with run_registry(folder) as address:
        served = ServedRegistry(folder, address, planned)
        measure_seconds(Side((planned.work.lamina("stream"),), output=served.archive))
        yield served


@contextlib.contextmanager
def run_registry(folder: Path) -> Iterator[str]:
    """Run a docker-registry for the block, and return its address. Raises `BenchError`.

    Args:
        folder: the new folder of the registry: blobs are below ``data``, and requests are in the file ``log``.
    """
    folder.mkdir()
    settings = {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    (folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    log = folder / "log"
    command = (REGISTRY, "serve", str(folder / "config.yml"))
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as server:
        try:
            yield _read_address(server, log)
        finally:
            server.terminate()


def _read_address(server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _START_LIMIT
    while server.poll() is None and time.monotonic() < end:
        if match := _ADDRESS.search(log.read_text(errors="replace")):
            return match[1]
        time.sleep(0.05)
    raise BenchError(f"{REGISTRY}: got no address, expected one in its log")
