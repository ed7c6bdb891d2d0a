"""Measure how long ``lamina load --watch`` takes from a change to the image in an engine.

    bench/watch /nix/store/…-application --engine podman --changes 5

For each source that can change (a spec file, a ``--file``, a link such as ``./result``), it prints the median of the
seconds. They are for orientation: they depend on the machine and on its load.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

from bench.engine import ENGINES, find_problem
from bench.measuring import ENVIRONMENT, BenchError
from bench.repeat import create_change
from bench.workloads import LAMINA, PlannedWorkload, Workload

NAME = "bench-watch:latest"
_LEAF_SIZE, _SEED = 500_000, 1
# A process that does not notice a change is ended after so many seconds.
_LIMIT = 600


@dataclass(frozen=True, slots=True)
class Source:
    """A file that an image is made of: the arguments that name it, and the function that writes its next version.

    The function gets the number of the version, from 0 on.
    """

    title: str
    arguments: Sequence[str]
    write: Callable[[int], object]


def list_sources(folder: Path, before: Workload, after: Workload) -> Iterator[Source]:
    """Return each kind of source, in ``folder``, for images of ``before``; the link also points to ``after``."""
    stores = [word for work in (before, after) for store in work.stores for word in ("--store", store)]
    root, other = before.roots[0], after.roots[0]

    def write_spec(number: int) -> None:
        _replace(folder / "lamina.toml", f'[app]\ncontents = ["{root}"]\nconfig.Env = ["VERSION={number}"]\n')

    def write_link(number: int) -> None:
        (folder / "new").symlink_to(other if number % 2 else root)
        (folder / "new").replace(folder / "result")

    def write_file(number: int) -> None:
        _replace(folder / "motd", f"version {number}\n")

    yield Source("spec file", (*stores, "--spec", f"{folder}/lamina.toml#app"), write_spec)
    yield Source("link", (*stores, f"{folder}/result"), write_link)
    yield Source("file", (*stores, "--file", f"/etc/motd={folder}/motd", root), write_file)


def _replace(file: Path, text: str) -> None:
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


@contextlib.contextmanager
def watch(
    source: Source, engine: str, layer_cache: Path, environment: Mapping[str, str]
) -> Iterator[Callable[[], float]]:
    """Run ``lamina load --watch`` for the block.

    Yield a function that writes the next version of the source, waits until the engine has its image, and returns the
    seconds from one to the other. Raises `BenchError` if the process ends.
    """
    source.write(0)
    options = ("--into", engine, "--watch", "--layer-cache", str(layer_cache), "-t", NAME)
    command = (LAMINA, "load", *options, *source.arguments)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, text=True) as process:
        limit = threading.Timer(_LIMIT, process.kill)
        limit.start()
        version = 0

        def change() -> float:
            nonlocal version
            version += 1
            began = time.perf_counter()
            source.write(version)
            seconds = _wait_for(process.stdout, NAME) - began
            _wait_for(process.stderr, "watching ")
            return seconds

        try:
            _wait_for(process.stdout, NAME)
            _wait_for(process.stderr, "watching ")
            yield change
        finally:
            limit.cancel()
            process.send_signal(signal.SIGTERM)
            process.communicate()


def _wait_for(stream: IO[str] | None, start: str) -> float:
    """Wait for a line that begins with ``start``, and return when it came."""
    for line in stream or ():
        if line.startswith(start):
            return time.perf_counter()
    raise BenchError(f"lamina load --watch: got its end, expected a line {start!r}")


def main() -> None:
    """Print the median for each source."""
    parser = argparse.ArgumentParser(prog="bench/watch", description=__doc__.split("\n\n")[0])
    parser.add_argument("root", metavar="ROOT", help="a store path of this machine")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=f"[{ENGINES[0]}]")
    parser.add_argument("--changes", type=int, default=5, metavar="N", help="how many changes are measured [5]")
    arguments = parser.parse_args()
    engine: str = arguments.engine
    if problem := find_problem(engine):
        sys.exit(f"bench/watch: {problem}")
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as name:
        folder = Path(name)
        planned = PlannedWorkload.of(Workload.from_roots([arguments.root]))
        changed = create_change(planned, folder / "change", _SEED, _LEAF_SIZE)
        images: set[str] = set()
        try:
            for source in list_sources(folder, changed.before, changed.after):
                seconds: list[float] = []
                with watch(source, engine, folder / "layers.sqlite", ENVIRONMENT) as change:
                    images.add(_find_id(engine))
                    for _ in range(arguments.changes):
                        seconds.append(change())
                        images.add(_find_id(engine))
                print(f"{engine}, {source.title}: {median(seconds):.2f} s ({min(seconds):.2f}–{max(seconds):.2f})")
        except BenchError as error:
            sys.exit(f"bench/watch: {error}")
        finally:
            remove = (engine, "rmi", "--force", *images)
            subprocess.run(remove, stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=False)


def _find_id(engine: str) -> str:
    """Return the ID of the image; the images before a change lose their name and stay."""
    command = (engine, "image", "inspect", "--format", "{{.Id}}", NAME)
    return subprocess.run(command, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
