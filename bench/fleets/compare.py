"""The command behind bench/batch.

All sides push the same images, one side after the other in one run, each to an empty registry and with an empty layer
cache. A side that pushes some of the images only counts as if it had pushed all: its seconds are multiplied.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fleets.images import read_packages, write_images
from bench.fleets.registry_requests import RegistryRequests, find_blobs
from bench.fleets.runs import Fleet, read_digests, read_result
from bench.measuring import BenchError, Comparison, Pair, Side, measure_seconds
from bench.registry import run_registry
from bench.report import dump_results, format_table
from bench.results import MEGABYTE, Row, Timed

import lamina

# The highest ratios that are wanted.
LOOP_TARGET, COPY_TARGET = 0.5, 0.1
_LAYERS = "shared"


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A batch that was measured, with what its registry says about it.

    Attributes:
        seconds: how long the batch took.
        result: the JSON result of the batch.
        requests: what the registry was asked.
        blobs: the size of each blob in the registry.
        digests: the digest of the manifest of each image in the registry.
    """

    seconds: float
    result: Mapping[str, Any]
    requests: RegistryRequests
    blobs: Mapping[str, int]
    digests: Mapping[str, str]


def run_batch(fleet: Fleet, folder: Path, *options: str) -> BatchRun:
    """Run the batch against an empty registry in ``folder``. Raises `BenchError`."""
    with run_registry(folder) as registry:
        side = fleet.batch(registry, *options)
        seconds = measure_seconds(side)
        digests = read_digests(registry, fleet.names)
    requests = RegistryRequests.read(folder / "log")
    return BatchRun(seconds, read_result(side), requests, find_blobs(folder), digests)


def run_loop(fleet: Fleet, folder: Path, names: Sequence[str], *options: str) -> tuple[list[float], Mapping[str, str]]:
    """Push images one after the other to an empty registry; return the seconds and the digest of each."""
    (fleet.folder / "loop.sqlite").unlink(missing_ok=True)
    with run_registry(folder) as registry:
        seconds = [measure_seconds(fleet.push(name, registry, *options)) for name in names]
        return seconds, read_digests(registry, names)


def run_copies(fleet: Fleet, folder: Path, names: Sequence[str]) -> list[float]:
    """Stream images in the way of nixpkgs, and copy them with skopeo; return the seconds of each."""
    with run_registry(folder) as registry:
        return [sum(map(measure_seconds, fleet.copy(name, registry))) for name in names]


def check_batch(run: BatchRun) -> Iterator[str]:
    """Yield what is wrong with a batch: a layer that was made or sent twice, or an image that is missing."""
    if run.requests.repeated:
        yield f"{len(run.requests.repeated)} blobs were uploaded more than once: {', '.join(run.requests.repeated[:3])}"
    made = [layer["digest"] for layer in run.result["layers"] if layer["outcome"] == "made"]
    if wrong := [digest for digest in made if run.requests.uploads.get(digest) != 1]:
        yield f"{len(wrong)} of {len(made)} layers were made and not sent once: {', '.join(wrong[:3])}"
    if unused := run.requests.uploads.keys() - run.blobs.keys():
        yield f"{len(unused)} uploaded blobs are not in the registry"
    missing = [name for name, digest in run.digests.items() if not digest.startswith("sha256:")]
    if missing:
        yield f"{len(missing)} images are not in the registry: {', '.join(missing[:3])}"


def main() -> None:
    """Measure a batch and the loops, and print the ratios; the exit code is 1 if the batch was wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which removes the temporary folder
    arguments = _make_parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="lamina-batch-", dir=arguments.folder) as folder:
            spec = Path(folder) / "images.json"
            write_images(spec, read_packages(arguments.roots, []), arguments.images, arguments.seed)
            _measure(arguments, Fleet(spec, Path(folder)))
    except (BenchError, lamina.Error, OSError, ValueError) as error:
        sys.exit(f"bench/batch: {error}")


def _measure(arguments: argparse.Namespace, fleet: Fleet) -> None:
    _report(f"reading the closure of {len(arguments.roots)} roots once")
    measure_seconds(Side((("tar", "-cPf", "-", *_find_paths(arguments.roots)), ("cat",))))
    work = f"{len(fleet.names)} images"
    batch = run_batch(fleet, fleet.folder / "batch")
    _report(_describe(batch))
    wrong = list(check_batch(batch))
    found: list[Timed] = []
    chosen = fleet.choose(arguments.check)
    _, digests = run_loop(fleet, fleet.folder / "check", chosen, "--layering", _LAYERS)
    wrong += [f"{name}: lamina push gives another image" for name in chosen if digests[name] != batch.digests[name]]
    for title, count, target in (
        ("batch ÷ loop of lamina push", arguments.loop, LOOP_TARGET),
        ("batch ÷ two passes and skopeo copy", arguments.copies, COPY_TARGET),
    ):
        if chosen := fleet.choose(count):
            seconds = (
                run_loop(fleet, fleet.folder / "loop", chosen)[0]
                if target == LOOP_TARGET
                else run_copies(fleet, fleet.folder / "copies", chosen)
            )
            note = "" if len(chosen) == len(fleet.names) else f"of {len(chosen)} of the images, scaled"
            found.append(_compare(Row(work, title, note, target), batch, seconds, len(fleet.names)))
            _report(f"{title}: {found[-1].value:.3f}")
    print(format_table(found))
    for line in wrong:
        print(f"wrong: {line}")
    if arguments.json:
        arguments.json.write_text(json.dumps(dump_results(found) | {"batch": batch.result, "wrong": wrong}, indent=1))
    if wrong:
        raise BenchError(f"got {len(wrong)} faults of the batch, expected none")


def _compare(row: Row, batch: BatchRun, seconds: Sequence[float], images: int) -> Timed:
    return Timed(row, Comparison((Pair(batch.seconds, sum(seconds) * images / len(seconds)),)))


def _describe(run: BatchRun) -> str:
    requests, size = run.requests, sum(run.blobs.values()) / MEGABYTE
    return (
        f"batch: {run.seconds:.1f} s, {sum(requests.uploads.values())} uploads of {len(requests.uploads)} blobs, "
        f"{requests.mounts} mounts, {requests.count} requests, {size:.1f} MB in the registry"
    )


def _find_paths(roots: Sequence[str]) -> Sequence[str]:
    return read_packages(roots, [])


def _report(text: str) -> None:
    print(f"bench/batch: {text}", file=sys.stderr, flush=True)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/batch",
        description="Measure lamina batch for many images that share packages ÷ a loop of lamina push, and ÷ a loop "
        "that streams each image as nixpkgs does into skopeo copy. Every side begins with an empty registry and an "
        "empty layer cache. Also check that every layer was sent once, and that lamina push gives the same images.",
    )
    parser.add_argument("roots", nargs="+", metavar="ROOT", help="store paths whose closure has the packages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the temporary folder is made [TMPDIR]")
    for option, default, title in (
        ("--images", 200, "number of images"),
        ("--seed", 1, "seed of the images"),
        ("--loop", 200, "how many of them lamina push pushes; 0 for none"),
        ("--copies", 20, "how many of them skopeo copies; 0 for none"),
        ("--check", 3, "how many of them are pushed again to compare their digests"),
    ):
        parser.add_argument(option, type=int, default=default, metavar="N", help=f"{title} [{default}]")
    return parser


if __name__ == "__main__":
    main()
