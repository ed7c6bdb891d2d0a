"""The command behind bench/batch_cluster: the same batch on Dask clusters of different sizes.

The client and every worker have data folders of their own, so that nothing which one of them downloads is there for
another, as if they were machines of their own. They share two processors, the binary cache and the registry.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.fleets.compare import BatchRun, check_batch, run_batch
from bench.fleets.images import read_packages, write_images
from bench.fleets.runs import Fleet
from bench.fleets.slow_store import serve_slowly
from bench.measuring import ENVIRONMENT, BenchError
from bench.workloads import LAMINA
from tests.support.buckets import serve_buckets
from tests.support.dask_cluster import run_dask_cluster
from tests.support.s3_server import ID, SECRET

import lamina

_BUCKET = "cache"
_ACCOUNT = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
_RATE = 5e6
_TARGET = 0.4


@dataclass(frozen=True, slots=True)
class BinaryCache:
    """A signed binary cache: its URL, and the public key."""

    url: str
    key: str

    @property
    def options(self) -> tuple[str, ...]:
        """The options that make a command use this cache and no other store."""
        return ("--store", self.url, "--trusted-key", self.key)


def push_closure(roots: Sequence[str], url: str, folder: Path) -> str:
    """Push the closure of ``roots`` to a binary cache, and return the public key. Raises `BenchError`."""
    secret = folder / "secret-key"
    if not secret.exists():
        _run(LAMINA, "store", "key", "generate", "bench-1", "-o", str(secret))
    command = (LAMINA, "store", "push", "--quiet", "--to", url, "--key", str(secret), "--store", "/", "--", *roots)
    _run(*command)
    return _run(LAMINA, "store", "key", "public", str(secret)).strip()


def _run(*command: str) -> str:
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env={**ENVIRONMENT, **os.environ})
    if ran.returncode:
        raise BenchError(f"{' '.join(command[:3])}: got exit code {ran.returncode}, expected 0")
    return ran.stdout


@contextmanager
def set_variables(**variables: str) -> Iterator[None]:
    """Set environment variables for the block, for this process and those that it starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_on_cluster(fleet: Fleet, folder: Path, workers: int, cache: BinaryCache) -> BatchRun:
    """Run the batch on a Dask cluster of ``workers`` worker processes. Raises `BenchError`."""
    folder.mkdir()
    with ExitStack() as stack:
        cluster = stack.enter_context(run_dask_cluster(folder))
        for number in range(workers):
            data = folder / f"worker-{number}"
            with set_variables(XDG_DATA_HOME=str(data), XDG_CACHE_HOME=str(data)):
                cluster.start_worker()
        own = str(folder / "client")
        client = replace(fleet, variables=(*_ACCOUNT.items(), ("XDG_DATA_HOME", own), ("XDG_CACHE_HOME", own)))
        return run_batch(client, folder / "registry", "--on", cluster.address, *cache.options)


def main() -> None:
    """Measure the clusters, and print a table; the exit code is 1 if the images differ or are wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which removes the temporary folder
    arguments = _make_parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="lamina-cluster-", dir=arguments.folder) as folder:
            spec = Path(folder) / "images.json"
            write_images(spec, read_packages(arguments.roots, []), arguments.images, arguments.seed)
            with set_variables(**_ACCOUNT):
                _measure(arguments, Fleet(spec, Path(folder)))
    except (BenchError, lamina.Error, OSError, ValueError) as error:
        sys.exit(f"bench/batch_cluster: {error}")


def _measure(arguments: argparse.Namespace, fleet: Fleet) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the S3 server logs every request
    runs: dict[str, BatchRun] = {}
    _keep(runs, "local", run_batch(fleet, fleet.folder / "local"))
    (fleet.folder / "local").rename(fleet.folder / "done")
    with serve_buckets(_BUCKET) as address:
        url = f"s3://{_BUCKET}?endpoint={address}&scheme=http"
        cache = BinaryCache(url, push_closure(arguments.roots, url, fleet.folder))
        for workers in arguments.workers:
            _keep(runs, f"S3, {workers} workers", _run_fresh(fleet, workers, cache))
    files = fleet.folder / "files"
    key = push_closure(arguments.roots, f"file://{files}", fleet.folder)
    with serve_slowly(files, _RATE) as url:
        slow = {workers: _run_fresh(fleet, workers, BinaryCache(url, key)) for workers in (1, max(arguments.workers))}
    for workers, run in slow.items():
        _keep(runs, f"5 MB/s for each connection, {workers} workers", run)
    _print_table(runs)
    few, many = (run.seconds for run in slow.values())
    print(f"{max(slow)} workers ÷ 1, 5 MB/s for each connection: {many / few:.3f}, at most {_TARGET}")
    wrong = [f"{name}: {fault}" for name, run in runs.items() for fault in check_batch(run)]
    wrong += [f"{name}: the images differ" for name, run in runs.items() if run.digests != runs["local"].digests]
    for line in wrong:
        print(f"wrong: {line}")
    if arguments.json:
        arguments.json.write_text(json.dumps({name: run.seconds for name, run in runs.items()}, indent=1) + "\n")
    if wrong:
        raise BenchError(f"got {len(wrong)} faults, expected none")


def _run_fresh(fleet: Fleet, workers: int, cache: BinaryCache) -> BatchRun:
    """Run the batch with an empty layer cache, in a folder that is deleted."""
    (fleet.folder / "batch.sqlite").unlink(missing_ok=True)
    folder = fleet.folder / "cluster"
    try:
        return run_on_cluster(fleet, folder, workers, cache)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(runs: dict[str, BatchRun], name: str, run: BatchRun) -> None:
    runs[name] = run
    print(f"bench/batch_cluster: {name}: {run.seconds:.1f} s", file=sys.stderr, flush=True)


def _print_table(runs: Mapping[str, BatchRun]) -> None:
    print("| where | seconds | blobs sent | sent twice | mounts | requests |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, run in runs.items():
        asked = run.requests
        print(
            f"| {name} | {run.seconds:.1f} | {len(asked.uploads):,} | {len(asked.repeated)} | {asked.mounts:,} | "
            f"{asked.count:,} |"
        )


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/batch_cluster",
        description="Run the same batch on Dask clusters on loopback, with a binary cache in S3 and a registry, and "
        "with a binary cache that gives each connection 5 MB/s. All must give the same images, and send a blob once.",
    )
    parser.add_argument("roots", nargs="+", metavar="ROOT", help="store paths whose closure has the packages")
    parser.add_argument("--images", type=int, default=200, metavar="N", help="number of images [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the images [%(default)s]")
    parser.add_argument(
        "--workers",
        type=lambda text: [int(word) for word in text.split(",")],
        default=[1, 2, 4],
        metavar="N,N",
        help="sizes of the clusters [1,2,4]",
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the temporary folder is made [TMPDIR]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the seconds to FILE")
    return parser


if __name__ == "__main__":
    main()
