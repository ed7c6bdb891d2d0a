"""Several images that share packages: the bytes in a registry for all of them, and what updates send.

A fleet is made of closures of `bench/closures`. A package is the same store path in two closures if its name, its size
and everything that it refers to are equal, as in a Nix store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from bench.reuse.closures import FOLDER, make_equal_infos, parse
from bench.reuse.updates import Replay, draw_updates

from lamina.core.closure import Closure
from lamina.layering import LayerPlan, SharedLayering, describe_sharing, plan

FLEETS: Mapping[str, Sequence[str]] = {
    "services": ("automation", "database", "java-application", "web-server"),
    "desktop": ("3d", "editor", "gis", "office", "typesetting"),
    "python": ("automation", "notebook", "radio", "robots", "statistics"),
    "all": (
        "3d",
        "automation",
        "database",
        "editor",
        "gis",
        "java-application",
        "notebook",
        "office",
        "radio",
        "robots",
        "statistics",
        "typesetting",
        "web-server",
    ),
}
Plans = Sequence[Sequence[LayerPlan]]
Planner = Callable[[Sequence[Closure], int], Plans]


def _plan_each(strategy: str) -> Planner:
    # One more layer than the budget: that of the root.
    return lambda closures, budget: [plan(closure, max_layers=budget + 1, strategy=strategy) for closure in closures]


def _plan_together(closures: Sequence[Closure], budget: int) -> Plans:
    images = [describe_sharing(closure, max_layers=budget + 1) for closure in closures]
    others = frozenset(images)
    return [
        plan(closure, max_layers=budget + 1, strategy=SharedLayering(image, others))
        for closure, image in zip(closures, images, strict=True)
    ]


PLANNERS: Mapping[str, Planner] = {
    "popularity": _plan_each("popularity"),
    "auto": _plan_each("auto"),
    "cost": _plan_each("cost"),
    "shared": _plan_together,
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Images that share packages, and updates of each."""

    name: str
    replays: Sequence[Replay]

    @classmethod
    def read(cls, name: str, updates: int, seed: int) -> Fleet:
        """Read the closures of a fleet, and draw updates for each."""
        closures = [Closure.of(make_equal_infos(parse((FOLDER / f"{each}.json").read_text()))) for each in FLEETS[name]]
        return cls(name, [Replay.of(closure, draw_updates(closure, updates, seed)) for closure in closures])

    @property
    def least(self) -> int:
        """The size of all paths, each once: what a registry stores with a layer for each path."""
        return sum({info.path: info.nar_size for replay in self.replays for info in replay.closure}.values())

    def measure(self, plans: Plans) -> Measured:
        """Return what a registry stores with ``plans``, and what updates send."""
        layers = {layer.paths: layer.nar_size for each in plans for layer in each}
        ratios = [replay.ratio(each) for replay, each in zip(self.replays, plans, strict=True)]
        return Measured(len(layers), sum(layers.values()), mean(ratios), max(ratios))


@dataclass(frozen=True, slots=True)
class Measured:
    """A fleet with plans.

    Attributes:
        layers: the number of different layers.
        stored: the sum of their sizes in bytes.
        mean: the bytes that updates send ÷ those that change, on average over the images.
        worst: the same for the image where it is highest.
    """

    layers: int
    stored: int
    mean: float
    worst: float


def print_lines(layers: Sequence[int], updates: int, seed: int) -> Iterator[str]:
    """Yield the lines of a Markdown table with a line for each fleet, number of layers and strategy."""
    yield "| fleet | images | layers of each | strategy | different layers | stored, GB | ÷ least | mean | worst |"
    yield "|---|--:|--:|---|--:|--:|--:|--:|--:|"
    for name in FLEETS:
        fleet = Fleet.read(name, updates, seed)
        for budget in layers:
            for strategy, planner in PLANNERS.items():
                found = fleet.measure(planner([replay.closure for replay in fleet.replays], budget))
                ratio = found.stored / fleet.least
                yield (
                    f"| {name} | {len(fleet.replays)} | {budget} | {strategy} | {found.layers} | "
                    f"{found.stored / 1e9:.2f} | {ratio:.3f} | {found.mean:.3f} | {found.worst:.3f} |"
                )
