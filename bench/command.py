"""The command behind bench/run.

Only ratios of one run are comparable; seconds depend on the machine and on its load. Temporary files are removed at the
end, and results that were measured before a failure are still printed.
"""

from __future__ import annotations

import argparse
import compileall
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import rows
from bench.engine import ENGINES
from bench.measuring import BenchError
from bench.report import dump_results, format_table, format_value
from bench.results import Result, SkippedRow
from bench.targets import CLOSURE, HUGE_IMAGE, HUGE_LAYER, LARGE, SMALL
from bench.trees import (
    generate_large_files,
    generate_many_entries,
    generate_one_file_in_many_paths,
    generate_small_files,
)
from bench.workloads import LAMINA, PlannedWorkload, Workload

import lamina

_WORDS = (*rows.STEPS, "start")
_KINDS = (CLOSURE, SMALL, LARGE)
_LINKS = 20


def main() -> None:
    """Run the benchmarks that the arguments select, and print the results."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _make_parser().parse_args()
    found: list[Result | SkippedRow] = []
    try:
        if not Path(LAMINA).exists():
            raise BenchError(f"{LAMINA}: got no such command, expected the checkout's: run script/demo first")
        try:
            with tempfile.TemporaryDirectory(prefix="lamina-bench-") as folder:
                for result in _run_steps(arguments, Path(folder)):
                    found.append(result)
                    message = result.why if isinstance(result, SkippedRow) else format_value(result)
                    _report(f"{result.row.work}: {result.row.title}: {message}")
        finally:
            _write(arguments, found)
    except (BenchError, lamina.Error, OSError) as error:
        sys.exit(f"bench/run: {error}")


def _write(arguments: argparse.Namespace, found: Sequence[Result | SkippedRow]) -> None:
    if found:
        print(format_table(found))
        if arguments.json:
            arguments.json.write_text(json.dumps(dump_results(found), indent=2) + "\n")


def _report(text: str) -> None:
    print(f"bench/run: {text}", file=sys.stderr, flush=True)


def _run_steps(arguments: argparse.Namespace, folder: Path) -> Iterator[Result | SkippedRow]:
    # Write the bytecode, as an installation does: a run that cannot write it would compile every module again.
    for package in lamina.__path__:
        compileall.compile_dir(package, quiet=2)
    settings = rows.Settings(
        arguments.pairs,
        arguments.slow_pairs or arguments.pairs,
        arguments.sample,
        arguments.leaf_size,
        arguments.seed,
        arguments.engine,
    )
    steps = [step for word, step in rows.STEPS.items() if word in arguments.only]
    for work in _make_workloads(arguments, folder) if steps else ():
        planned = PlannedWorkload.of(work)
        _report(f"{work.name}: measuring {len(planned.paths)} store paths, {planned.size / 1e6:.1f} MB")
        for step in [rows.memory] if work.huge else steps:
            with tempfile.TemporaryDirectory(prefix=f"{step.__name__}-", dir=folder) as scratch:
                yield from step(rows.Bench(planned, Path(scratch), settings))
    if "start" in arguments.only:
        yield from rows.start(settings)


def _make_workloads(arguments: argparse.Namespace, folder: Path) -> Iterator[Workload]:
    seed = arguments.seed
    if arguments.roots and CLOSURE in arguments.on:
        yield Workload.from_roots(arguments.roots)
    if SMALL in arguments.on:
        _report("making small files")
        tree = generate_small_files(folder / "small", seed, arguments.files, arguments.file_size)
        yield Workload.from_tree(SMALL, "small files", tree)
    if LARGE in arguments.on:
        _report("making large files")
        tree = generate_large_files(folder / "large", seed, arguments.large_files, arguments.large_size)
        yield Workload.from_tree(LARGE, "large files", tree)
    if arguments.huge and "memory" in arguments.only:
        _report("making a huge image")
        tree = generate_one_file_in_many_paths(folder / "image", seed, _LINKS, -(-arguments.huge_size // _LINKS))
        yield Workload.from_tree(HUGE_IMAGE, HUGE_IMAGE, tree)
        _report("making a huge layer")
        yield Workload.from_tree(
            HUGE_LAYER, HUGE_LAYER, generate_many_entries(folder / "layer", seed, arguments.huge_entries)
        )


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Measure the time of lamina ÷ the time of another program for the same store paths. Each value is "
        "the median of the ratios of alternating pairs of runs, after an uncounted run of each side. "
        "docs/performance.md explains each line. Seconds are for orientation.",
    )
    parser.add_argument(
        "roots", nargs="*", metavar="ROOT", help="a closure to measure in addition to the generated trees"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    for option, known in (("--only", _WORDS), ("--on", _KINDS)):
        parser.add_argument(
            option,
            type=_make_words_parser(known),
            default=known,
            metavar="WORDS",
            help=f"some of {','.join(known)} [all]",
        )
    for option, default, title in (
        ("--pairs", 7, "number of pairs of runs"),
        ("--slow-pairs", None, "number of pairs for the slow comparisons, two passes and pigz"),
    ):
        shown_default = default or "as --pairs"
        parser.add_argument(
            option, type=_parse_positive, default=default, metavar="N", help=f"{title} [{shown_default}]"
        )
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help=f"the engine that loads images [{ENGINES[0]}]"
    )
    parser.add_argument(
        "--huge", action="store_true", help="also measure the peak memory for a huge image and a huge layer"
    )
    sizes = parser.add_argument_group("sizes in bytes, and numbers")
    for option, default, title in (
        ("--seed", 1, "seed of the generated trees"),
        ("--files", 50_000, "number of small files"),
        ("--file-size", 14_000, "average size of a small file"),
        ("--large-files", 4, "number of large files"),
        ("--large-size", 100_000_000, "size of a large file"),
        ("--sample", 512 << 20, "maximum size of the tar that is only compressed"),
        ("--leaf-size", 500_000, "size of the leaf that changes before a repeated build"),
        ("--huge-size", 20_000_000_000, "size of the huge image, which uses a twentieth of it on disk"),
        ("--huge-entries", 500_000, "number of entries in the huge layer"),
    ):
        sizes.add_argument(option, type=_parse_positive, default=default, metavar="N", help=f"{title} [{default}]")
    return parser


def _parse_positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 1 up")
    return int(text)


def _make_words_parser(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        unknown = [word for word in words if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"got {unknown[0]!r}, expected some of {','.join(known)}")
        return words

    return parse


if __name__ == "__main__":
    main()
