"""The processes below one process, as /proc shows them: finding, ending and judging them."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# How often, and seconds between: a process that has been killed may take a moment to go.
_TRIES = 200
_PAUSE = 0.01
# fakeroot's server; it removes its message queues when it is asked to end.
_FAKEROOT_SERVER = "faked"


class Process(NamedTuple):
    """A process: its number, name, state as a letter (proc(5)), parent, process group and session."""

    number: int
    name: str
    state: str
    parent: int
    group: int
    session: int

    @property
    def is_stopped(self) -> bool:
        """Whether it waits for a SIGCONT, or for a debugger."""
        return self.state in ("T", "t")


def below(top: int) -> list[Process]:
    """Return the processes below ``top`` that have not ended, parents first."""
    children: dict[int, list[Process]] = {}
    for found in _all():
        children.setdefault(found.parent, []).append(found)
    result: list[Process] = []
    waiting = [top]
    while waiting:
        found_below = children.get(waiting.pop(), [])
        result += found_below
        waiting += [process.number for process in found_below]
    return result


def end_below(top: int, spare: int = 0) -> None:
    """Kill what is below ``top``, again and again, for one may have begun another meanwhile; leave ``spare`` alone."""
    _end_all(lambda: [process.number for process in below(top) if process.number != spare])


def end_session(number: int) -> None:
    """Kill what is left of the session (setsid(2)) that process ``number`` began, whose parents may have ended."""
    _end_all(lambda: [process.number for process in _all() if process.session == number])


def _end_all(find: Callable[[], list[int]]) -> None:
    for _ in range(_TRIES):
        left = find()
        if not left:
            return
        for number in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        time.sleep(_PAUSE)


def ask_fakeroot_to_end(top: int) -> None:
    """Tell fakeroot's servers below ``top`` to end, so that they leave no message queues behind."""
    for process in below(top):
        if process.name.startswith(_FAKEROOT_SERVER):
            for number in (signal.SIGTERM, signal.SIGCONT):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.number, number)


def is_stuck(top: int) -> bool:
    """Tell whether the session of ``top`` can never end by itself, because it was stopped.

    That is so where a process of the session's own group or fakeroot's server is stopped, and where every process of
    the script is, because then none is left that could let it go on.
    """
    found = [process for process in _all() if process.number == top] + below(top)
    servers = [process for process in found if process.name.startswith(_FAKEROOT_SERVER)]
    ours = [process for process in found if process.group == top]
    script = [process for process in found if process.group != top and process not in servers]
    if any(process.is_stopped for process in (*ours, *servers)):
        return True
    return bool(script) and all(process.is_stopped for process in script)


def _all() -> Iterator[Process]:
    for file in glob.iglob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            found = _parsed(Path(file).read_text("utf-8", "replace"))
            if found.state not in ("Z", "X"):
                yield found


def _parsed(text: str) -> Process:
    # The name may hold spaces and brackets: the last bracket ends it (proc(5)).
    head, _, rest = text.rpartition(")")
    number, _, name = head.partition(" (")
    state, parent, group, session = rest.split()[:4]
    return Process(int(number), name, state, int(parent), int(group), int(session))
