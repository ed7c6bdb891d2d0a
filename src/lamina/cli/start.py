"""Where the program begins: signals are handled before anything else is imported.

Invariant: importing this module changes what a signal does to the process, but not where lamina is in use already.

Until `lamina.cli.exits` takes over nothing exists that would have to be undone, so a signal ends the process at once.
Python's own handler of SIGINT would print a traceback.
"""

from __future__ import annotations

# `signal` imports enum, which takes longer than it takes to print the version.
import _signal  # type: ignore[import-not-found] # the part of it that is written in C
import os
import sys

TYPE_CHECKING = False  # as typing has it, which takes longer still
if TYPE_CHECKING:
    from types import FrameType


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End the process with the exit code of the signal ``number``."""
    os._exit(128 + number)


is_program = "lamina.cli.exits" not in sys.modules
for _name in ("SIGINT", "SIGTERM", "SIGHUP") if is_program else ():
    _number = getattr(_signal, _name, None)  # not every system has all of them
    if _number is not None and _signal.getsignal(_number) in {_signal.SIG_DFL, _signal.default_int_handler}:
        _signal.signal(_number, end_at_once)

from lamina.cli.main import main  # noqa: E402 - importing it takes the time that this is about

__all__ = ["main"]
