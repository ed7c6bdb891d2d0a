"""Defer signals while a process is started, so that an interrupted run never loses track of a new process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Run this process's signal handlers after the ``with`` block instead of during it.

    A handler may raise an exception, which would lose an already started process in the middle of `subprocess.Popen`.
    Blocking the signals is not a solution, because the new process would inherit the blocked signals.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers never run in another thread
        yield
        return
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    previous = {}
    try:
        for name in _NAMES:
            number = getattr(signal, name, None)  # not every system has all of them
            if number is not None and callable(handler := signal.getsignal(number)):
                previous[number] = handler
                signal.signal(number, note)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)
