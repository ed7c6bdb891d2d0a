"""Cleanup at the end of the process: temporary files, temporary folders and helper processes.

Invariant: the action that removes a resource is registered before the resource is created, so an interrupt at any
moment leaves nothing behind. A context manager alone cannot guarantee this: a signal may arrive after the resource was
created and before the block that removes it was entered.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import weakref
from collections.abc import Callable
from threading import RLock
from typing import TypeVar

_T = TypeVar("_T")

# How long the end of the process waits for a thread that is creating something.
_MAX_WAIT_SECONDS = 1.0
_lock = RLock()
_numbers = itertools.count()
_actions: dict[int, Callable[[], object]] = {}
_is_exiting = False


class Cleanup:
    """A registered action that `run_all` runs, unless `run` or `cancel` was called first."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._number = next(_numbers)
        _actions[self._number] = action

    def run(self) -> None:
        """Run the action now, unless it has been run or cancelled; it stays registered until it has returned."""
        action = _actions.get(self._number)
        if action:
            action()
            self.cancel()

    def cancel(self) -> None:
        """Remove the action from the register without running it."""
        _actions.pop(self._number, None)


def close_with(owner: object, close: Callable[[], object]) -> weakref.finalize[[], object]:
    """Return a function that calls ``close`` once. It is also called when nothing refers to ``owner`` any more.

    It is not called when the process ends: `run_all` then removes files, and the system frees everything else.
    """
    finalizer = weakref.finalize(owner, close)
    finalizer.atexit = False
    return finalizer


def create(make: Callable[[], _T], undo: Callable[[], object]) -> tuple[_T, Cleanup]:
    """Call ``make`` after registering ``undo``, and return the result with the registered action.

    Args:
        make: creates the resource.
        undo: removes the resource, and does nothing if it does not exist yet. It is not called if ``make`` raises
            `FileExistsError`, because the resource then belongs to another process.

    Raises:
        InterruptedError: the process is ending, so nothing may be created any more.
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
    """Run all registered actions, the latest first. `create` raises an error from then on."""
    global _is_exiting  # noqa: PLW0603 - the whole process is ending
    is_locked = _lock.acquire(timeout=_MAX_WAIT_SECONDS)
    try:
        _is_exiting = True
        while _actions:
            with contextlib.suppress(KeyError, OSError):
                _actions.popitem()[1]()
    finally:
        if is_locked:
            _lock.release()


def _clear_in_child() -> None:
    """Drop all actions in a forked child, because the registered resources belong to its parent."""
    global _lock  # noqa: PLW0603 - a thread that exists only in the parent may hold the old lock
    _lock = RLock()
    _actions.clear()


atexit.register(run_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_clear_in_child)
