"""End a run on SIGINT, SIGTERM or SIGHUP, at any moment.

Invariant: the first signal raises `Interrupted`, once, so that the run is unwound in order. If that does not end the
run, because the exception is lost in a finalizer or because a second signal arrives, everything that is registered with
`lamina.system.cleanup` is cleaned up and the process ends at once. The exit code is 128 plus the number of the signal.
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
    """A signal that ends the run, as an exception."""


class Signals:
    """The handler of the signals, active from `install` until `close`.

    Args:
        interruption: What is printed on stderr when SIGINT ends the process.
    """

    def __init__(self, interruption: str) -> None:
        self.received = 0
        self._interruption = interruption
        self._is_closed = False
        self._previous: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """The exit code of the process once a signal has been received."""
        return 128 + self.received

    def install(self) -> None:
        """Start to handle the signals, except those that this process ignores, as under ``nohup``."""
        for name in _NAMES:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self)
        sys.unraisablehook = self._unraisable

    def close(self) -> None:
        """Ignore signals from now on: the run is over, and the rest takes only a moment."""
        self._is_closed = True

    def restore(self) -> None:
        """Restore the previous handlers, unless this process was started as ``lamina`` and is about to end."""
        if not getattr(sys.modules.get("lamina.cli.start"), "is_program", False):
            sys.unraisablehook = sys.__unraisablehook__
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise `Interrupted` for the first signal; end the process at once for a second one."""
        if self._is_closed:
            return
        if self.received:
            self.exit_now()
        self.received = number
        raise Interrupted

    def exit_now(self) -> None:
        """Clean up and end the process at once, so that no finalizer and no other thread can still print anything."""
        self.close()
        cleanup.run_all()
        if self.received == signal.SIGINT:
            _write_stderr(self._interruption)
        os._exit(self.exit_code)

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Handle an exception that cannot propagate, such as one from a finalizer.

        If it is the `Interrupted` of a signal, the process ends here: Python would drop the exception and go on.
        """
        if not self.received:
            sys.__unraisablehook__(unraisable)
        elif not self._is_closed and issubclass(unraisable.exc_type, Interrupted):
            self.exit_now()


def _write_stderr(text: str) -> None:
    # Not through `sys.stderr`: the signal may have interrupted a write to that stream, which is not reentrant.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), text.encode())


@atexit.register
def _ignore() -> None:
    """Ignore the signals while the interpreter shuts down, where it would print a traceback."""
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and isinstance(signal.getsignal(number), Signals):
            signal.signal(number, signal.SIG_IGN)
