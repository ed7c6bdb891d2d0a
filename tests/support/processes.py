"""Find processes of this machine by their command lines, and wait for a condition.

Other test runs may use the same machine at the same time, so each test looks for processes that only it can have.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

_TIMEOUT_SECONDS = 60
_PAUSE_SECONDS = 0.005
_numbers = itertools.count(1)


def unique_sleep() -> str:
    """Return a command that sleeps for five minutes, with a command line that no other process of this machine has."""
    return f"sleep 300.{os.getpid():07}{next(_numbers):04}"


def is_running(command: str) -> bool:
    """Return whether a process with exactly this command line is running."""
    return bool(find_pids(lambda found: found == command))


def find_pids(matches: Callable[[str], bool]) -> list[int]:
    """Return the IDs of the processes whose command line ``matches``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if command and matches(command):
            found.append(int(folder.name))
    return found


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or a zombie that its parent has not waited for."""
    try:
        return b") Z" in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds; fail the test after a minute."""
    end = time.monotonic() + _TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(_PAUSE_SECONDS)
