"""How a run ends: an exit code for everything that can happen.

Invariant: nothing but lamina's own bugs shows a traceback, and a signal leaves no part of a file behind.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from lamina.errors import Error, ScriptError

INTERRUPTED = 130
CLOSED_PIPE = 141
BUG = 1
_TERMINATED = 128 + signal.SIGTERM


def ending(work: Callable[[], object], *, debug: bool = False) -> int:
    """Runs ``work`` and says with which code the process is to end; errors are printed on stderr."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except (Error, OSError) as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError):
            return _closed_pipe()
        return _reported(error, debug=debug) if isinstance(error, Error) else _bug(error, debug=debug)
    except Exception as error:  # noqa: BLE001 - the one place that catches everything
        return _bug(error, debug=debug)
    return 0


def _reported(error: Error, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if isinstance(error, ScriptError) and error.output:
        print(error.output.rstrip("\n"), file=sys.stderr)
    _say(str(error))
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def _bug(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    _say(f"a bug in lamina: got {type(error).__name__}: {error}, expected no such thing")
    print("hint: --debug shows where it happened; please report it", file=sys.stderr)
    return BUG


def _say(text: str) -> None:
    print(f"lamina: {text}", file=sys.stderr)


def _closed_pipe() -> int:
    # What is left in Python's buffer would fail again at exit, with a message.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED_PIPE


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)
