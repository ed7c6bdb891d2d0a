"""Start the program: handle signals before anything else is imported.

Importing this module installs signal handlers, unless `lamina.cli.exits` has been imported before, in which case lamina
runs inside another program.

Until `lamina.cli.exits` takes over there is nothing to clean up, so a signal ends the process at once. Python's own
handler of SIGINT would print a traceback.
"""

from __future__ import annotations

# `signal` imports enum, which takes longer than printing the version.
import _signal  # type: ignore[import-not-found] # the C part of `signal`
import os
import sys

TYPE_CHECKING = False  # as in typing, whose import takes even longer
if TYPE_CHECKING:
    from types import FrameType


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End the process with the exit code of the signal ``number``."""
    os._exit(128 + number)


is_program = "lamina.cli.exits" not in sys.modules
for _name in ("SIGINT", "SIGTERM", "SIGHUP") if is_program else ():
    _number = getattr(_signal, _name, None)  # Windows has no SIGHUP
    if _number is not None and _signal.getsignal(_number) in {_signal.SIG_DFL, _signal.default_int_handler}:
        _signal.signal(_number, end_at_once)

from lamina.cli.main import main  # noqa: E402 - the import takes time, in which a signal may arrive

__all__ = ["main"]
