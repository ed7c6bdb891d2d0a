"""The command behind bench/run.

Invariant: only ratios of one run are to be judged; what it makes on disk, it removes.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import Comparison, Failed, compare
from bench.report import document, table
from bench.trees import Tree, large_files, small_files

LAMINA = Path(sys.executable).with_name("lamina")


@dataclass(frozen=True, slots=True)
class Work:
    """Something to stream: what lamina is told, and the folder in which /nix/store lies."""

    name: str
    arguments: tuple[str, ...]
    folder: str = ""


def main() -> None:
    """Measures what the arguments ask for and prints it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _parser().parse_args()
    try:
        if not LAMINA.exists():
            raise Failed(f"{LAMINA}: got no such command, expected the checkout's: run script/demo first")
        with _works(arguments) as works:
            results = {work.name: _compared(work, arguments.pairs) for work in works}
        print(table(results))
        if arguments.json:
            arguments.json.write_text(json.dumps(document(results), indent=2) + "\n")
    except (Failed, OSError) as error:
        sys.exit(f"bench/run: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="How long `lamina stream ROOT… | cat` takes, every layer hashed, divided by how long "
        "`tar -cPf - PATHS… | cat` takes for the same store paths: the median of the ratios of alternating pairs, "
        "after one run of each that does not count. Seconds are for orientation, and peak MB is lamina's.",
    )
    parser.add_argument("roots", nargs="*", metavar="ROOT", help="what to stream; default: two trees made for it")
    parser.add_argument("--pairs", type=_positive, default=7, metavar="N", help="how many [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    trees = parser.add_argument_group("the trees, where there is no ROOT")
    trees.add_argument("--seed", type=int, default=1, metavar="N", help="what they are made from [%(default)s]")
    trees.add_argument("--files", type=_positive, default=10_000, metavar="N", help="small files [%(default)s]")
    trees.add_argument("--full", action="store_const", dest="files", const=50_000, help="50,000 small files, 0.7 GB")
    for option, default, what in (
        ("--file-size", 14_000, "bytes of a small file, on average"),
        ("--large-files", 4, "large files"),
        ("--large-size", 100_000_000, "bytes of a large file"),
    ):
        trees.add_argument(option, type=_positive, default=default, metavar="N", help=f"{what} [%(default)s]")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 1 up")
    return int(text)


@contextmanager
def _works(arguments: argparse.Namespace) -> Iterator[tuple[Work, ...]]:
    if arguments.roots:
        yield (Work(Path(arguments.roots[0]).name, ("--", *arguments.roots)),)
        return
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as folder:
        print("bench/run: making trees", file=sys.stderr)
        seed, here = arguments.seed, Path(folder)
        yield (
            _tree_work("small files", small_files(here / "small", seed, arguments.files, arguments.file_size)),
            _tree_work("large files", large_files(here / "large", seed, arguments.large_files, arguments.large_size)),
        )


def _tree_work(name: str, tree: Tree) -> Work:
    places = ("--store", str(tree.graph), "--store", str(tree.folder))
    return Work(name, (*places, str(tree.root)), str(tree.folder))


def _compared(work: Work, pairs: int) -> Comparison:
    print(f"bench/run: measuring {work.name}", file=sys.stderr)
    ours = (str(LAMINA), "stream", "--quiet", "--name", "bench", *work.arguments)
    return compare(ours, ("tar", "-cPf", "-", "--", *_store_paths(work)), pairs)


def _store_paths(work: Work) -> Iterator[str]:
    planned = subprocess.run(
        (LAMINA, "plan", "--json", "--quiet", "--name", "bench", *work.arguments), stdout=subprocess.PIPE, check=False
    )
    if planned.returncode:
        raise Failed(f"lamina plan: got exit code {planned.returncode}, expected 0")
    for layer in json.loads(planned.stdout)["layers"]:
        yield from (work.folder + path for path in layer["paths"])


if __name__ == "__main__":
    main()
