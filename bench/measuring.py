"""Ours against theirs, in pairs.

Invariant: a ratio is of two runs that followed one another, so that what else the machine does meets both; seconds
of different pairs are never divided.
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
# Seconds that a program is given to end in when the benchmark does.
_PATIENCE = 10
# What bench/run says to its own Python is not meant for the programs that are measured.
ENVIRONMENT: Mapping[str, str] = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


class BenchError(Exception):
    """A command ended badly; the message says which and how."""


def do_nothing() -> None:
    """Nothing has to be done before a run."""


@dataclass(frozen=True, slots=True)
class Side:
    """One way to do the work: commands, each piped into the next, between the files ``source`` and ``output``.

    ``prepare`` goes before each run and takes no part in its time. A run is ``times`` runs, one after another, where
    one is too short to be measured; its time is that of one. ``variables`` are added to the environment.
    """

    commands: tuple[Command, ...]
    source: Path = NOTHING
    output: Path = NOTHING
    prepare: Callable[[], None] = do_nothing
    times: int = 1
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """The seconds of a run of ours and of the run of theirs right after it."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Ours ÷ theirs."""
        return self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all the pairs say together."""

    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> float:
        """The median of the ratios, which is not the ratio of the medians."""
        return median(pair.ratio for pair in self.pairs)

    @property
    def span(self) -> tuple[float, float]:
        """The smallest ratio and the largest."""
        ratios = [pair.ratio for pair in self.pairs]
        return min(ratios), max(ratios)

    @property
    def seconds(self) -> tuple[float, float]:
        """The median of ours and of theirs, for orientation."""
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
                inlet = processes[-1].stdout if processes else source
                outlet = subprocess.PIPE if number < len(side.commands) - 1 else output
                environment = {**ENVIRONMENT, **dict(side.variables)}
                processes.append(
                    subprocess.Popen(command, stdin=inlet, stdout=outlet, env=environment, start_new_session=not number)
                )
                if number and inlet:
                    inlet.close()
            yield tuple(processes)
            for process in processes:
                process.wait()
        except BaseException:
            _end(processes)
            raise
    # The last is asked first: where it failed, those before it found a closed pipe.
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
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def seconds(side: Side) -> float:
    """How long a run of ``side`` takes; raises `BenchError`."""
    side.prepare()
    start = time.perf_counter()
    for _ in range(side.times):
        with run_processes(side):
            pass
    return (time.perf_counter() - start) / side.times


def compare(ours: Side, theirs: Side, pairs: int, measure: Callable[[Side], float] = seconds) -> Comparison:
    """``pairs`` pairs, after one run of each that does not count. Raises what ``measure`` raises."""
    for side in (ours, theirs):
        measure(side)
    return Comparison(tuple(Pair(measure(ours), measure(theirs)) for _ in range(pairs)))


def missing_program(side: Side) -> str:
    """Why ``side`` cannot run, for want of a program; empty where it can."""
    lacking = [command[0] for command in side.commands if not shutil.which(command[0])]
    return f"got no {lacking[0]} on PATH" if lacking else ""


def output_size(side: Side, scratch: Path) -> int:
    """How many bytes a run of ``side`` writes, counted on the way; raises `BenchError`."""
    counted = replace(side, commands=(*side.commands, ("wc", "-c")), output=scratch)
    seconds(counted)
    return int(scratch.read_text())
