"""Compare loading an image into a container engine with `docker load` or `podman load`, which read a whole archive.

The image that the engine has is called bench:latest, as in every workload. The image before a change is called
bench:before too, so that its layers stay when the other one is removed.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import ENVIRONMENT, NOTHING, Command, Side, measure_seconds
from bench.workloads import Workload

ENGINES = ("docker", "podman")
_LATEST, _BEFORE = "bench:latest", "bench:before"


def find_problem(engine: str) -> str:
    """Return why the engine cannot be used, or an empty text if it answers."""
    program = shutil.which(engine)
    if not program:
        return f"got no {engine} on PATH"
    return "" if _call(program, "version") == 0 else f"got no {engine} that answers"


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """An engine, and a folder for the layer cache of the commands that load images into it."""

    name: str
    folder: Path

    def load(self, work: Workload) -> Side:
        """Return the side that loads an image of which neither the engine nor the layer cache knows anything."""
        return Side((self._make_load(work),), prepare=self._forget)

    def feed(self, work: Workload) -> Side:
        """Return the side that streams the same image to the engine's own command."""
        return Side(self._make_feed(work), prepare=self._forget)

    def load_again(self, work: Workload) -> Side:
        """Return the side that loads an image after a change; the engine and the layer cache know the one before."""
        return Side((self._make_load(work),), prepare=self._restore)

    def feed_again(self, work: Workload) -> Side:
        """Return the side that streams this image to the engine's own command."""
        return Side(self._make_feed(work), prepare=self._restore)

    @contextlib.contextmanager
    def with_image(self, work: Workload) -> Iterator[None]:
        """Load the image before a change, and keep it for the block."""
        measure_seconds(self.load(work))
        _call(self.name, "tag", _LATEST, _BEFORE)
        shutil.copytree(self._cache.parent, self._kept)
        try:
            yield
        finally:
            _call(self.name, "rmi", "--force", _BEFORE)

    @contextlib.contextmanager
    def removing_image(self) -> Iterator[None]:
        """Remove the image that was loaded last at the end of the block."""
        try:
            yield
        finally:
            _call(self.name, "rmi", "--force", _LATEST)

    @property
    def _cache(self) -> Path:
        return self.folder / "layer-cache" / "layer-cache.sqlite"

    @property
    def _kept(self) -> Path:
        return self.folder / "kept"

    def _make_load(self, work: Workload) -> Command:
        return work.lamina("load", "--into", self.name, "--layer-cache", str(self._cache))

    def _make_feed(self, work: Workload) -> tuple[Command, ...]:
        return (work.lamina("stream", "--layer-cache", str(self._cache)), (self.name, "load", "--quiet"))

    def _forget(self) -> None:
        _call(self.name, "rmi", "--force", _LATEST)
        shutil.rmtree(self._cache.parent, ignore_errors=True)
        self._cache.parent.mkdir(parents=True)

    def _restore(self) -> None:
        _call(self.name, "rmi", "--force", _LATEST)
        shutil.rmtree(self._cache.parent)
        shutil.copytree(self._kept, self._cache.parent)


def _call(*command: str) -> int:
    """Run a command of the engine, and return its exit code; removing an image that is not there fails."""
    with NOTHING.open("wb") as out:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=ENVIRONMENT, check=False)
    return ran.returncode
