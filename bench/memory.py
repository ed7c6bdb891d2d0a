"""How much memory a command takes, all its processes together.

Invariant: a page that several processes share counts once in all (PSS, proc(5)), and no run that is timed is sampled.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measuring import Side, run_processes

_INTERVAL = 0.02
_PROCESSES = Path("/proc")
_LINE = b"\nPss:"


def can_measure() -> bool:
    """Whether this system says what a process takes of the memory that it shares."""
    return (_PROCESSES / "self" / "smaps_rollup").exists()


def peak(side: Side) -> int:
    """The most bytes that the first command of ``side`` and all it starts had at one of the moments they were looked
    at, every 20 ms; raises `BenchError`.
    """
    side.prepare()
    most = 0
    with run_processes(side) as (first, *_):
        while _is_running(first):
            most = max(most, sum(_pss(process) for process in _session(first.pid)))
            time.sleep(_INTERVAL)
    return most


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def _session(leader: int) -> Iterator[int]:
    """The processes of the session that ``leader`` leads: also those whose parent has ended."""
    for name in os.listdir(_PROCESSES):
        if name.isdecimal():
            try:
                status = (_PROCESSES / name / "stat").read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            # After the name, which may hold anything: state, parent, group, session (proc(5)).
            if int(status[status.rindex(b")") + 2 :].split()[3]) == leader:
                yield int(name)


def _pss(process: int) -> int:
    try:
        said = (_PROCESSES / str(process) / "smaps_rollup").read_bytes()
    except OSError:
        return 0
    place = said.find(_LINE)
    return int(said[place + len(_LINE) :].split(maxsplit=1)[0]) * 1024 if place >= 0 else 0
