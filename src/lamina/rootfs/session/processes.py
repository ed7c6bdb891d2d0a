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
_KILL_ATTEMPTS = 200
_RETRY_DELAY = 0.01
# fakeroot's server; it removes its message queues when it is asked to end.
_FAKEROOT_SERVER = "faked"


class Process(NamedTuple):
    """A process: its number, name, state as a letter (proc(5)), parent, process group and session."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int

    @property
    def is_stopped(self) -> bool:
        """Whether it waits for a SIGCONT, or for a debugger."""
        return self.state in ("T", "t")


def list_descendants(root_pid: int) -> list[Process]:
    """Return the processes below ``root_pid`` that have not ended, parents first."""
    children: dict[int, list[Process]] = {}
    for found in _list_processes():
        children.setdefault(found.parent, []).append(found)
    result: list[Process] = []
    waiting = [root_pid]
    while waiting:
        found_below = children.get(waiting.pop(), [])
        result += found_below
        waiting += [process.pid for process in found_below]
    return result


def kill_descendants(root_pid: int, except_pid: int = 0) -> None:
    """Kill what is below ``root_pid``, again and again, for one may have begun another meanwhile; leave ``except_pid``
    alone.
    """
    _kill_all(lambda: [process.pid for process in list_descendants(root_pid) if process.pid != except_pid])


def kill_session(pid: int) -> None:
    """Kill what is left of the session (setsid(2)) that process ``pid`` began, whose parents may have ended."""
    _kill_all(lambda: [process.pid for process in _list_processes() if process.session == pid])


def _kill_all(find: Callable[[], list[int]]) -> None:
    for _ in range(_KILL_ATTEMPTS):
        left = find()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_RETRY_DELAY)


def terminate_fakeroot(root_pid: int) -> None:
    """Tell fakeroot's servers below ``root_pid`` to end, so that they leave no message queues behind."""
    for process in list_descendants(root_pid):
        if process.name.startswith(_FAKEROOT_SERVER):
            for signal_number in (signal.SIGTERM, signal.SIGCONT):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal_number)


def is_hung(root_pid: int) -> bool:
    """Tell whether the session of ``root_pid`` can never end by itself, because it was stopped.

    That is so where a process of the session's own group or fakeroot's server is stopped, and where every process of
    the script is, because then none is left that could let it go on.
    """
    found = [process for process in _list_processes() if process.pid == root_pid] + list_descendants(root_pid)
    servers = [process for process in found if process.name.startswith(_FAKEROOT_SERVER)]
    session_processes = [process for process in found if process.group == root_pid]
    script_processes = [process for process in found if process.group != root_pid and process not in servers]
    if any(process.is_stopped for process in (*session_processes, *servers)):
        return True
    return bool(script_processes) and all(process.is_stopped for process in script_processes)


def _list_processes() -> Iterator[Process]:
    for file in glob.iglob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            found = _parse_stat(Path(file).read_text("utf-8", "replace"))
            if found.state not in ("Z", "X"):
                yield found


def _parse_stat(text: str) -> Process:
    # The name may hold spaces and brackets: the last bracket ends it (proc(5)).
    head, _, rest = text.rpartition(")")
    pid, _, name = head.partition(" (")
    state, parent, group, session = rest.split()[:4]
    return Process(int(pid), name, state, int(parent), int(group), int(session))
