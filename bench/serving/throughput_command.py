"""``bench/serve``: the throughput of lamina serve for a large blob that is ready ÷ that of nginx, which sends a file.

Both send the same bytes over loopback to curl, in turn. The processor time of the servers is measured too, because it
depends less on other programs of the machine, and the time of a manifest.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import shutil
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from bench.measuring import BenchError, Comparison, Side, compare
from bench.serving.nginx import serve_files
from bench.serving.server import RunningServer, read_processor_time, serve
from bench.trees import generate_large_files

_MIB = 1 << 20
_CLIENTS = (1, 4)
_MANIFESTS = 200


def main() -> None:
    """Measure, and print a line for each number of clients, and one for manifests."""
    parser = argparse.ArgumentParser("bench/serve", description=__doc__)
    parser.add_argument("--size", type=int, default=500, metavar="MIB", help="of the blob (default 500)")
    parser.add_argument("--pairs", type=int, default=9, help="of runs for each number of clients (default 9)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        try:
            _measure_all(Path(name), arguments.size, arguments.pairs)
        except BenchError as error:
            sys.exit(f"bench/serve: {error}")


def _measure_all(folder: Path, size: int, pairs: int) -> None:
    trees = {"large": generate_large_files(folder / "large", 1, 1, size * _MIB)}
    files = folder / "files"
    files.mkdir()
    options = ("--layer-compression", "none", "--max-layers", "3")
    with serve(folder, trees, options) as server, serve_files(folder / "nginx", files) as (nginx, process):
        blob = max(server.list_layers("large"), key=lambda layer: layer.size)
        with urllib.request.urlopen(server.url + blob.path) as response, (files / "blob").open("wb") as file:
            shutil.copyfileobj(response, file)
        _check(files / "blob", blob.digest)
        for clients in _CLIENTS:
            before = read_processor_time(server.pid), read_processor_time(process)
            found = compare(_fetch(server.url + blob.path, clients), _fetch(f"{nginx}/blob", clients), pairs)
            sent = (pairs + 1) * clients * blob.size
            used = (read_processor_time(server.pid) - before[0], read_processor_time(process) - before[1])
            print(describe(found, clients, clients * blob.size), flush=True)
            print(f"  processor: {used[0] / sent * 1e9:.2f} and {used[1] / sent * 1e9:.2f} s for each GB", flush=True)
        print(f"manifest: {measure_manifest(server, 'large') * 1000:.2f} ms, median of {_MANIFESTS} on one connection")
        print(f"memory of lamina serve: {server.read_memory() / _MIB:.0f} MiB")


def _check(file: Path, digest: str) -> None:
    with file.open("rb") as opened:
        found = f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
    if found != digest:
        raise BenchError(f"blob: got {found}, expected {digest}")


def _fetch(url: str, clients: int) -> Side:
    """Return the side that fetches ``url`` with some clients at the same time."""
    curl = f"curl --fail --silent --output /dev/null {url}"
    script = "; ".join(f"{curl} & p{number}=$!" for number in range(clients))
    waits = " && ".join(f"wait $p{number}" for number in range(clients))
    return Side((("sh", "-c", f"{script}; {waits}"),))


def describe(found: Comparison, clients: int, size: int) -> str:
    """Return the line about ``clients`` that fetched ``size`` bytes together."""
    low, high = sorted(1 / ratio for ratio in found.span)
    ours, theirs = (size / seconds / 1e6 for seconds in found.seconds)
    noun = "client" if clients == 1 else "clients"
    return (
        f"{clients} {noun}: {1 / found.ratio:.2f} of nginx ({low:.2f} to {high:.2f}, {len(found.pairs)} pairs), "
        f"{ours:.0f} and {theirs:.0f} MB/s"
    )


def measure_manifest(server: RunningServer, name: str) -> float:
    """Return the median time of a request for a manifest that is ready, in seconds."""
    connection = http.client.HTTPConnection(server.host, server.port)
    times = []
    for _ in range(_MANIFESTS):
        start = time.perf_counter()
        connection.request("GET", f"/v2/{name}/manifests/latest")
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
    connection.close()
    return median(times)


if __name__ == "__main__":
    main()
