"""Ours against theirs, in pairs.

Invariant: a ratio is of two runs that followed one another, so that what else the machine does meets both; seconds
of different pairs are never divided.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

Command = Sequence[str]


class Failed(Exception):
    """A command ended badly; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command: how long it took, and the most memory it had, in bytes."""

    seconds: float
    peak: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A run of ours and, right after it, one of theirs."""

    ours: Run
    theirs: Run

    @property
    def ratio(self) -> float:
        """Ours ÷ theirs, in seconds."""
        return self.ours.seconds / self.theirs.seconds


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
        return median(pair.ours.seconds for pair in self.pairs), median(pair.theirs.seconds for pair in self.pairs)

    @property
    def peak(self) -> int:
        """The most memory that any run of ours had, in bytes."""
        return max(pair.ours.peak for pair in self.pairs)


def piped_to_cat(command: Command) -> Run:
    """Runs ``command | cat > /dev/null``; raises `Failed`.

    The pipe is not decoration: GNU tar reads no file when its output is /dev/null itself.
    """
    start = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        with subprocess.Popen(("cat",), stdin=process.stdout, stdout=subprocess.DEVNULL) as cat:
            if process.stdout:
                process.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
    if process.returncode or cat.returncode:
        raise Failed(f"{command[0]}: got exit code {process.returncode or cat.returncode}, expected 0")
    return Run(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def compare(
    ours: Command, theirs: Command, pairs: int, measured: Callable[[Command], Run] = piped_to_cat
) -> Comparison:
    """``pairs`` pairs, after one run of each that does not count. Raises what ``measured`` raises."""
    for command in (ours, theirs):
        measured(command)
    return Comparison(tuple(Pair(measured(ours), measured(theirs)) for _ in range(pairs)))
