"""SIGINT, SIGTERM and SIGHUP: how a run is ended at any moment.

Invariant: the first signal raises `Interrupted`, once, so that what the run began is undone in order. Where that
does not end the run, because the exception was lost in a finalizer or because somebody signals again, what
`lamina.system.cleanup` knows of is undone and the process ends at once. The exit code is that of the signal.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any

from lamina.system import cleanup

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(BaseException):
    """A signal asks for the end of the run."""


class Signals:
    """Handles the signals from `install` until `close`."""

    def __init__(self) -> None:
        self.received = 0
        self._is_closed = False
        self._previous: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """What the process ends with once a signal was received."""
        return 128 + self.received

    def install(self) -> None:
        """Begin to handle them, except those that this process ignores, as under ``nohup``."""
        for name in _NAMES:
            number = getattr(signal, name, None)  # not every system has all of them
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self)
        sys.unraisablehook = self._unraisable

    def close(self) -> None:
        """Let signals do nothing any more: the run is over, and what is left to do takes a moment."""
        self._is_closed = True

    def restore(self) -> None:
        """Leave signals to whoever handled them before, unless this process is the program itself and ends now."""
        if not getattr(sys.modules.get("lamina.cli.start"), "is_program", False):
            sys.unraisablehook = sys.__unraisablehook__
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal ``number``."""
        if self._is_closed:
            return
        if self.received:
            self.exit_now()
        self.received = number
        raise Interrupted

    def exit_now(self) -> None:
        """Undo what has to be undone, and end the process: no finalizer and no other thread gets to say anything."""
        self.close()
        cleanup.run_all()
        if self.received == signal.SIGINT:
            _write_stderr("lamina: interrupted\n")
        os._exit(self.exit_code)

    def _unraisable(self, found: sys.UnraisableHookArgs) -> None:
        """An exception that nobody can catch; where it is that of a signal, it would be lost, and the run go on."""
        if not self.received:
            sys.__unraisablehook__(found)
        elif not self._is_closed and issubclass(found.exc_type, Interrupted):
            self.exit_now()


def _write_stderr(text: str) -> None:
    # Not through the stream: the signal may have come while something was written to it.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), text.encode())


@atexit.register
def _ignore() -> None:
    """The interpreter is going; it would say where it was interrupted."""
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and isinstance(signal.getsignal(number), Signals):
            signal.signal(number, signal.SIG_IGN)
