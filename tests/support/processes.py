"""Processes of this machine by their command lines, and waiting for them without knowing how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_LONGEST = 20
_PAUSE = 0.005


def is_running(command: str) -> bool:
    """Tell whether a process with exactly this command line has not ended."""
    return bool(find_pids(lambda found: found == command))


def find_pids(fits: Callable[[str], bool]) -> list[int]:
    """Return the processes whose command line ``fits``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if command and fits(command):
            found.append(int(folder.name))
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds; fail the test where it does not in a generous time."""
    end = time.monotonic() + _LONGEST
    while not condition():
        assert time.monotonic() < end
        time.sleep(_PAUSE)
