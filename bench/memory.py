"""Measure the memory of a command, all its processes together.

A page that several processes share counts once (PSS, proc(5)). Runs whose time is measured are not sampled.
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
    """Return whether this system reports the proportional share of shared memory (PSS)."""
    return (_PROCESSES / "self" / "smaps_rollup").exists()


def measure_peak(side: Side) -> int:
    """Return the peak memory of the first command of ``side`` and of all processes that it starts, in bytes.

    It is sampled every 20 ms. Raises `BenchError`.
    """
    side.prepare()
    highest = 0
    with run_processes(side) as (first, *_):
        while _is_running(first):
            highest = max(highest, sum(_read_pss(process) for process in _find_session(first.pid)))
            time.sleep(_INTERVAL)
    return highest


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def _find_session(leader: int) -> Iterator[int]:
    """Yield the processes in the session of ``leader``, which includes those whose parent has ended."""
    for name in os.listdir(_PROCESSES):
        if name.isdecimal():
            try:
                status = (_PROCESSES / name / "stat").read_bytes()
            except OSError:  # the process has ended meanwhile
                continue
            # The name may contain any characters; after it come state, parent, group and session (proc(5)).
            if int(status[status.rindex(b")") + 2 :].split()[3]) == leader:
                yield int(name)


def _read_pss(process: int) -> int:
    try:
        text = (_PROCESSES / str(process) / "smaps_rollup").read_bytes()
    except OSError:
        return 0
    offset = text.find(_LINE)
    return int(text[offset + len(_LINE) :].split(maxsplit=1)[0]) * 1024 if offset >= 0 else 0
