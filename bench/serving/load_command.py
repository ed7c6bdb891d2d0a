"""``bench/serve-load``: many clients pull from one server; there must be no error, and its memory must not grow."""

from __future__ import annotations

import argparse
import sys
import tempfile
import urllib.request
from pathlib import Path
from statistics import median

from bench.measuring import BenchError
from bench.serving.load import LoadResult, run_clients
from bench.serving.server import RunningServer, serve
from bench.trees import generate_large_files, generate_small_files

_MIB = 1 << 20
_INTERVAL = 10.0
MAX_GROWTH = 1.15
"""The median memory of the last third ÷ that of the middle third that counts as flat."""


def main() -> None:
    """Run the clients, print what they did, and end with exit code 1 after an error or if memory grows."""
    arguments = _parse_arguments()
    with tempfile.TemporaryDirectory(prefix="serve-load-") as name:
        folder = Path(name)
        trees = {
            "small": generate_small_files(folder / "small", 1, 2000, 4000),
            "large": generate_large_files(folder / "large", 2, 4, arguments.size * _MIB // 4),
        }
        try:
            with serve(folder, trees, ("--max-builds", "2")) as server:
                result, memory = _measure(server, arguments.clients, arguments.minutes * 60, arguments.interval)
        except BenchError as error:
            sys.exit(f"bench/serve-load: {error}")
    for line in describe(result, memory, arguments.clients, arguments.minutes):
        print(line)
    if result.errors or not is_flat(memory):
        sys.exit(1)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench/serve-load", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--clients", type=int, default=16, help="how many at the same time (default 16)")
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="of the large image (default 256)")
    parser.add_argument("--interval", type=float, default=_INTERVAL, metavar="SECONDS", help="between two samples")
    return parser.parse_args()


def _measure(server: RunningServer, clients: int, seconds: float, interval: float) -> tuple[LoadResult, list[int]]:
    images = {name: server.list_layers(name) for name in ("small", "large")}
    contents = {}
    for blob in images["small"]:
        with urllib.request.urlopen(server.url + blob.path) as response:
            contents[blob.digest] = response.read()
    memory = [server.read_memory()]
    print(f"before: {memory[0] / _MIB:.0f} MiB", flush=True)

    def sample(size: int) -> None:
        memory.append(size)
        print(f"{len(memory) - 1:4}  {size / _MIB:.0f} MiB", flush=True)

    return run_clients(server, images, contents, clients, seconds, sample, interval), memory[1:]


def is_flat(memory: list[int]) -> bool:
    """Return whether the memory did not grow after the first third; True for fewer than six samples."""
    third = len(memory) // 3
    return third < 2 or median(memory[-third:]) <= MAX_GROWTH * median(memory[third : 2 * third])


def describe(result: LoadResult, memory: list[int], clients: int, minutes: float) -> list[str]:
    """Return the lines that say what happened."""
    first, middle, last = (size / _MIB for size in (memory[0], median(memory), memory[-1]))
    counts = ", ".join(f"{count} {kind}" for kind, count in result.requests.most_common())
    total = sum(result.requests.values())
    errors = [f"error: {count} times {problem}" for problem, count in result.errors.most_common()]
    problems = sum(result.errors.values())
    summary = f"{clients} clients, {minutes:g} minutes: {total} requests, {result.size / (1 << 30):.1f} GiB, "
    summary += f"{problems} errors; memory {first:.0f} MiB after the first sample, {middle:.0f} median, "
    summary += f"{max(memory) / _MIB:.0f} highest, {last:.0f} last"
    return [f"requests: {counts}", *errors, summary]


if __name__ == "__main__":
    main()
