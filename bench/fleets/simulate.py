"""The command behind bench/batch_simulation: thousands of images on clusters of different sizes.

The images are drawn from the store paths of all closures in `bench/closures`. Each store path is a layer; of an image
with more paths than layers, the smallest paths are one layer, which it shares with images that have the same ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace

from bench.fleets.images import draw_images
from bench.fleets.simulation import Rates, SimulatedBatch, SimulatedFleet, simulate
from bench.reuse.closures import FOLDER, make_equal_infos, parse

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo

_GIGABIT = 125e6
WORKERS = (1, 10, 30, 100, 300)
# Clusters of a hundred workers, each with one part that is slower or faster than usual.
VARIANTS: Mapping[str, Mapping[str, float]] = {
    "as above": {},
    "binary cache: 1 Gbit/s": {"store": _GIGABIT},
    "binary cache: 5 MB/s for each worker": {"connection": 5e6},
    "registry: 1 Gbit/s": {"registry": _GIGABIT},
    "registry: 5,000 requests/s": {"requests": 5000},
    "client: 32 threads finish images": {"finishers": 32},
    "both": {"requests": 5000, "finishers": 32},
    "both, and a client twice as fast": {"requests": 5000, "finishers": 32, "prepare": 0.0125, "finish": 0.025},
    "as above, but two requests for each layer of an image": {"mount_requests": 2},
}


def draw_fleet(images: int, seed: int, max_layers: int = 99) -> SimulatedFleet:
    """Draw images from the closures of `bench/closures`."""
    infos: dict[str, PathInfo] = {}
    for file in sorted(FOLDER.glob("*.json")):
        infos |= {str(info.path): info for info in make_equal_infos(parse(file.read_text()))}
    reached: dict[str, frozenset[str]] = {}
    sizes: list[int] = []
    numbers: dict[frozenset[str], int] = {}

    def number_layer(paths: frozenset[str]) -> int:
        if paths not in numbers:
            numbers[paths] = len(sizes)
            sizes.append(sum(infos[path].nar_size for path in paths))
        return numbers[paths]

    drawn = []
    for _, table in draw_images(sorted(infos), images, seed):
        paths = frozenset().union(*(_find_closure(infos, path, reached) for path in table["contents"]))
        largest = sorted(paths, key=lambda path: (-infos[path].nar_size, path))
        alone = largest if len(largest) <= max_layers else largest[: max_layers - 1]
        layers = [number_layer(frozenset((path,))) for path in alone]
        rest = frozenset(largest[len(alone) :])
        drawn.append([*layers, number_layer(rest)] if rest else layers)
    return SimulatedFleet(sizes, drawn)


def _find_closure(infos: Mapping[str, PathInfo], root: str, reached: dict[str, frozenset[str]]) -> frozenset[str]:
    if root not in reached:
        closure = Closure.resolve([infos[root].path], lambda paths: {path: infos[str(path)] for path in paths})
        reached[root] = frozenset(str(info.path) for info in closure)
    return reached[root]


def print_lines(fleet: SimulatedFleet, rates: Rates, workers: Sequence[int]) -> Iterator[str]:
    """Yield the lines of two Markdown tables: one for numbers of workers, and one for `VARIANTS`."""
    distinct, every = sum(fleet.sizes), sum(fleet.sizes[layer] for layers in fleet.images for layer in layers)
    yield f"{len(fleet.images):,} images with {sum(map(len, fleet.images)):,} layers, {every / 1e9:,.0f} GB of NARs"
    yield f"{len(fleet.sizes):,} distinct layers, {distinct / 1e9:,.1f} GB of NARs"
    yield ""
    yield from _head("workers")
    for count in workers:
        yield _line(f"{count}", simulate(fleet, replace(rates, workers=count)))
    yield ""
    yield from _head(f"{rates.workers} workers")
    for title, changes in VARIANTS.items():
        yield _line(title, simulate(fleet, replace(rates, **changes)))  # type: ignore[arg-type] # of the right kind each


_USES = ("client", "scheduler", "workers", "binary cache", "registry bytes", "registry requests")


def _head(title: str) -> Iterator[str]:
    yield f"| {title} | minutes | layers done after | {' | '.join(_USES)} | tasks/s | bottleneck |"
    yield f"|---|--:|--:|{'--:|' * len(_USES)}--:|---|"


def _line(title: str, found: SimulatedBatch) -> str:
    uses = " | ".join(f"{found.use[name]:.0%}" for name in _USES)
    return (
        f"| {title} | {found.seconds / 60:.1f} | {found.layers_done / 60:.1f} | {uses} | "
        f"{found.tasks_per_second:.0f}, at most {found.peak_tasks} | {found.bottleneck} |"
    )


def main() -> None:
    """Print the tables for the rates that the arguments give."""
    arguments = _make_parser().parse_args()
    rates = Rates(**{field.name: getattr(arguments, field.name) for field in fields(Rates)})
    fleet = draw_fleet(arguments.images, arguments.seed)
    for line in print_lines(fleet, rates, WORKERS):
        print(line, flush=True)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/batch_simulation",
        description="Simulate batches of many images on clusters, and print how long each takes, which part of each "
        "resource it uses, and which one limits it. The options set the rates; docs/cluster.md explains them.",
    )
    parser.add_argument("--images", type=int, default=10_000, metavar="N", help="number of images [10000]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the images [1]")
    for field in fields(Rates):
        default = getattr(Rates(), field.name)
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), default=default, metavar="N", help=f"[{default:g}]")
    return parser


if __name__ == "__main__":
    main()
