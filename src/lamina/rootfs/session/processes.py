"""Find and end the descendants of a process, and detect whether they hang, by reading /proc."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# The number of attempts and the seconds between them, because a killed process may take a moment to end.
_KILL_ATTEMPTS = 200
_RETRY_DELAY = 0.01
# fakeroot's server, which removes its message queues when it receives SIGTERM.
_FAKEROOT_SERVER = "faked"


class Process(NamedTuple):
    """A process: its ID, name, state as a letter (proc(5)), parent, process group and session."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped by a signal or a debugger."""
        return self.state in ("T", "t")


def list_descendants(root_pid: int) -> list[Process]:
    """Return the running descendants of ``root_pid``, parents first."""
    children: dict[int, list[Process]] = {}
    for process in _list_processes():
        children.setdefault(process.parent, []).append(process)
    result: list[Process] = []
    waiting = [root_pid]
    while waiting:
        child_processes = children.get(waiting.pop(), [])
        result += child_processes
        waiting += [process.pid for process in child_processes]
    return result


def kill_descendants(root_pid: int, except_pid: int = 0) -> None:
    """Kill all descendants of ``root_pid`` except ``except_pid``, repeatedly, because they may start new processes."""
    _kill_all(lambda: [process.pid for process in list_descendants(root_pid) if process.pid != except_pid])


def kill_session(pid: int) -> None:
    """Kill the processes of the session (setsid(2)) that ``pid`` started, including those whose parents ended."""
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
    """Ask the fakeroot servers among the descendants of ``root_pid`` to end, so that they remove their queues."""
    for process in list_descendants(root_pid):
        if process.name.startswith(_FAKEROOT_SERVER):
            for signal_number in (signal.SIGTERM, signal.SIGCONT):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal_number)


def is_hung(root_pid: int) -> bool:
    """Return whether the session of ``root_pid`` cannot end by itself because its processes were stopped.

    It hangs if a process of its first group or fakeroot's server is stopped. It also hangs if every process of the
    script is stopped, because then no process is left that could continue another.
    """
    processes = [process for process in _list_processes() if process.pid == root_pid] + list_descendants(root_pid)
    servers = [process for process in processes if process.name.startswith(_FAKEROOT_SERVER)]
    session_processes = [process for process in processes if process.group == root_pid]
    script_processes = [process for process in processes if process.group != root_pid and process not in servers]
    if any(process.is_stopped for process in (*session_processes, *servers)):
        return True
    return bool(script_processes) and all(process.is_stopped for process in script_processes)


def _list_processes() -> Iterator[Process]:
    for file in glob.iglob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            process = _parse_stat(Path(file).read_text("utf-8", "replace"))
            if process.state not in ("Z", "X"):
                yield process


def _parse_stat(text: str) -> Process:
    # The name may contain spaces and brackets; it ends at the last bracket (proc(5)).
    head, _, rest = text.rpartition(")")
    pid, _, name = head.partition(" (")
    state, parent, group, session = rest.split()[:4]
    return Process(int(pid), name, state, int(parent), int(group), int(session))
