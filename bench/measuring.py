"""Measure lamina against another program, in alternating pairs of runs.

A ratio is always that of two consecutive runs, so that other load on the machine affects both. Seconds of different
pairs are never divided.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

Command = Sequence[str]
NOTHING = Path(os.devnull)
# How long to wait for a program to end when the benchmark ends, in seconds.
_TIMEOUT = 10
# The environment of the measured programs: PYTHONPATH is set by bench/run for its own Python only.
ENVIRONMENT: Mapping[str, str] = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


class BenchError(Exception):
    """A command failed; the message has the command and its exit code."""


def do_nothing() -> None:
    """Do nothing before a run."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sides of a comparison.

    Args:
        commands: The commands, each piped into the next.
        source: The input of the first command.
        output: The output of the last command.
        prepare: Called before each run; its time does not count.
        times: How often the commands run in one measured run, for those too short to be measured alone. The time is
            divided by this number.
        variables: Additional environment variables.
    """

    commands: tuple[Command, ...]
    source: Path = NOTHING
    output: Path = NOTHING
    prepare: Callable[[], None] = do_nothing
    times: int = 1
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """The seconds of a run of lamina and of the run of the other program right after it."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """The seconds of lamina ÷ those of the other program."""
        return self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of all pairs of a comparison."""

    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> float:
        """The median of the ratios, which is not the ratio of the medians."""
        return median(pair.ratio for pair in self.pairs)

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest ratio."""
        ratios = [pair.ratio for pair in self.pairs]
        return min(ratios), max(ratios)

    @property
    def seconds(self) -> tuple[float, float]:
        """The median seconds of lamina and of the other program, for orientation."""
        return median(pair.ours for pair in self.pairs), median(pair.theirs for pair in self.pairs)


@contextmanager
def run_processes(side: Side) -> Iterator[tuple[subprocess.Popen[bytes], ...]]:
    """Run the processes of ``side``, the first in a session of its own; raise `BenchError` unless all end well."""
    processes: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        source = stack.enter_context(side.source.open("rb"))
        output = stack.enter_context(side.output.open("wb"))
        try:
            for number, command in enumerate(side.commands):
                stdin = processes[-1].stdout if processes else source
                stdout = subprocess.PIPE if number < len(side.commands) - 1 else output
                environment = {**ENVIRONMENT, **dict(side.variables)}
                processes.append(
                    subprocess.Popen(command, stdin=stdin, stdout=stdout, env=environment, start_new_session=not number)
                )
                if number and stdin:
                    stdin.close()
            yield tuple(processes)
            for process in processes:
                process.wait()
        except BaseException:
            _end(processes)
            raise
    # The last command is checked first: if it failed, those before it fail as well, because of the closed pipe.
    for command, process in zip(reversed(side.commands), reversed(processes), strict=True):
        if process.returncode:
            raise BenchError(f"{Path(command[0]).name}: got exit code {process.returncode}, expected 0")


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for number, process in enumerate(processes):
        if process.stdout:
            process.stdout.close()
        if process.poll() is None:
            os.kill(process.pid if number else -process.pid, signal.SIGTERM)
        try:
            process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure_seconds(side: Side) -> float:
    """Return how many seconds a run of ``side`` takes. Raises `BenchError`."""
    side.prepare()
    start = time.perf_counter()
    for _ in range(side.times):
        with run_processes(side):
            pass
    return (time.perf_counter() - start) / side.times


def compare(ours: Side, theirs: Side, pairs: int, measure: Callable[[Side], float] = measure_seconds) -> Comparison:
    """Measure ``pairs`` pairs, after one run of each side that does not count. Raises whatever ``measure`` raises."""
    for side in (ours, theirs):
        measure(side)
    return Comparison(tuple(Pair(measure(ours), measure(theirs)) for _ in range(pairs)))


def missing_program(side: Side) -> str:
    """Return which program of ``side`` is missing, as a message; empty if none is."""
    missing = [command[0] for command in side.commands if not shutil.which(command[0])]
    return f"got no {missing[0]} on PATH" if missing else ""


def output_size(side: Side, scratch: Path) -> int:
    """Run ``side`` and return how many bytes it writes. Raises `BenchError`."""
    counted = replace(side, commands=(*side.commands, ("wc", "-c")), output=scratch)
    measure_seconds(counted)
    return int(scratch.read_text())
