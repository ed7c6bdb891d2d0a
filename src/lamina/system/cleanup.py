"""What must not outlive the process: temporary files and folders, and processes that help.

Invariant: how a thing is undone is registered before the thing exists, so that it is undone at whatever moment the
process is interrupted. A context manager alone cannot promise that: a signal may arrive after the thing was made and
before the block that removes it was entered.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
from collections.abc import Callable
from threading import RLock
from typing import TypeVar

_T = TypeVar("_T")

# In seconds, how long the end of the process waits for a thread that is creating something.
_LONGEST_WAIT = 1.0
_lock = RLock()
_numbers = itertools.count()
_actions: dict[int, Callable[[], object]] = {}
_is_exiting = False


class Cleanup:
    """A registered action, which `run_all` runs unless `run` or `cancel` was called before."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._number = next(_numbers)
        _actions[self._number] = action

    def run(self) -> None:
        """Run the action now, unless it was run or cancelled. It stays registered until it has returned."""
        action = _actions.get(self._number)
        if action:
            action()
            self.cancel()

    def cancel(self) -> None:
        """Forget the action."""
        _actions.pop(self._number, None)


def create(make: Callable[[], _T], undo: Callable[[], object]) -> tuple[_T, Cleanup]:
    """Call ``make`` with ``undo`` registered for what it makes.

    ``undo`` may be called when nothing was made yet. It is not called where ``make`` raises `FileExistsError`, for
    then the thing belongs to another process. Raises `InterruptedError` where the process is ending and nothing may be
    made any more.
    """
    with _lock:
        if _is_exiting:
            raise InterruptedError
        cleanup = Cleanup(undo)
        try:
            return make(), cleanup
        except FileExistsError:
            cleanup.cancel()
            raise
        except BaseException:
            with contextlib.suppress(OSError):
                cleanup.run()
            cleanup.cancel()
            raise


def run_all() -> None:
    """Run all registered actions, the latest first, and let nothing be created from then on."""
    global _is_exiting  # noqa: PLW0603 - it is the process that ends
    is_locked = _lock.acquire(timeout=_LONGEST_WAIT)
    try:
        _is_exiting = True
        while _actions:
            with contextlib.suppress(KeyError, OSError):
                _actions.popitem()[1]()
    finally:
        if is_locked:
            _lock.release()


def _forget_all() -> None:
    """In a forked child nothing is the child's own."""
    global _lock  # noqa: PLW0603 - a thread that the child has not may have held it
    _lock = RLock()
    _actions.clear()


atexit.register(run_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
