"""The command behind bench/layering.

The numbers are the same in every run with the same arguments, except the seconds of --time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

from bench.reuse.closures import FOLDER, NamedClosure, read_closures
from bench.reuse.greedy import plan_greedily, plan_with_search
from bench.reuse.rows_of_updates import make_table
from bench.reuse.together import FLEETS, print_lines
from bench.reuse.updates import Replay, draw_updates, read_histories

import lamina
from lamina.core.closure import Closure
from lamina.layering import LayerPlan, plan

Planner = Callable[[Closure, int], Sequence[LayerPlan]]
LAYERS = (10, 20, 30, 60, 99)


def _plan_by(strategy: str) -> Planner:
    # One more layer than the budget: that of the root.
    return lambda closure, budget: plan(closure, max_layers=budget + 1, strategy=strategy)


PLANNERS: Mapping[str, Planner] = {
    "popularity": _plan_by("popularity"),
    "auto": _plan_by("auto"),
    "greedy": plan_greedily,
    "local search": plan_with_search,
    "cost": _plan_by("cost"),
}


def main() -> None:
    """Print the table that the arguments select."""
    arguments = _make_parser().parse_args()
    try:
        if arguments.together:
            for line in print_lines(
                [int(text) for text in arguments.layers.split(",")], arguments.updates, arguments.seed
            ):
                print(line, flush=True)
            return
        closures = read_closures(arguments.graphs or [FOLDER])
        layers = [int(text) for text in arguments.layers.split(",")]
        if arguments.row:
            seeds = range(arguments.seed, arguments.seed + arguments.repeat)
            for cells in make_table(closures, layers, arguments.row, seeds):
                print(_line(*cells), flush=True)
            return
        names = _choose_planners(arguments.only)
        table = Table(layers, names, is_timed=arguments.time)
        for line in table.lines(_make_replays(closures, arguments.updates, arguments.seed)):
            print(line, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(table.ratios, indent=1) + "\n")
    except (lamina.Error, OSError, ValueError) as error:
        sys.exit(f"bench/layering: {error}")


def _choose_planners(only: str | None) -> list[str]:
    """Return the names of the strategies to measure. Raises `ValueError` for an unknown one."""
    wanted = list(PLANNERS) if only is None else only.split(",")
    if unknown := [name for name in wanted if name not in PLANNERS]:
        raise ValueError(f"--only: got {', '.join(unknown)}, expected some of {', '.join(PLANNERS)}")
    return wanted


def _make_replays(closures: Sequence[NamedClosure], count: int, seed: int) -> Iterator[tuple[str, Replay, bool]]:
    """Yield the name and the updates of each line, and whether they are drawn."""
    for named in closures:
        yield named.name, Replay.of(named.closure, draw_updates(named.closure, count, seed)), True
    for name, named, updates in read_histories(closures):
        yield name, Replay.of(named.closure, updates), False


class Table:
    """A Markdown table with a line for each closure and strategy.

    Attributes:
        ratios: for each closure and strategy, the ratio for each number of layers.
    """

    def __init__(self, layers: Sequence[int], names: Sequence[str], *, is_timed: bool = False) -> None:
        self.ratios: dict[str, dict[str, list[float]]] = {}
        self._layers = layers
        self._names = names
        self._is_timed = is_timed

    def lines(self, replays: Iterator[tuple[str, Replay, bool]]) -> Iterator[str]:
        """Yield the lines of the table, in which the means are those of drawn updates."""
        yield _line("closure", "paths", "strategy", *map(str, self._layers), *(["seconds"] if self._is_timed else []))
        yield _line("---", "--:", "---", *["--:"] * (len(self._layers) + self._is_timed))
        drawn: list[str] = []
        for name, replay, is_drawn in replays:
            for strategy in self._names:
                ratios, seconds = self._measure(replay, strategy)
                self.ratios.setdefault(name, {})[strategy] = ratios
                spent = [f"{seconds:.1f}"] if self._is_timed else []
                yield _line(name, str(len(replay.closure)), strategy, *(f"{ratio:.3f}" for ratio in ratios), *spent)
            drawn += [name] if is_drawn else []
        for title, combine in (("mean", mean), ("worst", max)):
            for strategy in self._names:
                columns = zip(*(self.ratios[name][strategy] for name in drawn), strict=True)
                yield _line(title, "", strategy, *(f"{combine(column):.3f}" for column in columns))

    def _measure(self, replay: Replay, strategy: str) -> tuple[list[float], float]:
        start = time.process_time()
        plans = [PLANNERS[strategy](replay.closure, budget) for budget in self._layers]
        seconds = (time.process_time() - start) / len(self._layers)
        return [replay.ratio(found) for found in plans], seconds


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _parse_count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"got {count}, expected at least 1")
    return count


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/layering",
        description="Measure how many bytes updates send with the layers of each strategy: bytes sent again ÷ bytes "
        "that changed, 1 at best. Of the drawn updates, 60 %% change only a root, and the others 1 to 5 random paths. "
        "Histories are real updates of a closure. docs/layering-results.md explains the numbers.",
    )
    parser.add_argument(
        "graphs",
        nargs="*",
        type=Path,
        metavar="FILE|FOLDER",
        help="closures: files of bench/closures, or closure graphs in JSON as nix path-info --json -r prints them, or "
        "folders of them [bench/closures]",
    )
    parser.add_argument("--layers", default=",".join(map(str, LAYERS)), metavar="N,N", help="budgets [%(default)s]")
    parser.add_argument("--only", metavar="STRATEGY,...", help=f"some of {', '.join(PLANNERS)} [all]")
    parser.add_argument(
        "--updates", type=_parse_count, default=10_000, metavar="N", help="updates to draw [%(default)s]"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the updates [%(default)s]")
    parser.add_argument(
        "--row",
        type=int,
        metavar="N",
        help="instead apply N updates in a row, and compare versions with pinned layers with one plan by cost that "
        "knows the updates",
    )
    parser.add_argument("--repeat", type=int, default=2, metavar="N", help="rows of updates with --row [%(default)s]")
    parser.add_argument(
        "--together",
        action="store_true",
        help="compare what a registry stores for several images: planned alone, and together by shared; the fleets are "
        f"{', '.join(FLEETS)}",
    )
    parser.add_argument("--time", action="store_true", help="also print the seconds of a plan, for orientation")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the ratios to FILE")
    return parser


if __name__ == "__main__":
    main()
