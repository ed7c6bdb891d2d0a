"""How a run ends: an exit code for everything that can happen.

Invariant: nothing but lamina's own bugs shows a traceback, and a signal leaves no part of a file behind.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TextIO

from lamina.cli.output import flush, one_line
from lamina.errors import Error, OutputError, ScriptError, failed
from lamina.messages import clean

INTERRUPTED = 130
CLOSED_PIPE = 141
BUG = 1


def ending(work: Callable[[], object], *, debug: bool = False) -> int:
    """Runs ``work`` and says with which code the process is to end; errors are printed on stderr."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # not every system has both
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)
    code = _run(work, debug=debug)
    for stream in (sys.stdout, sys.stderr):
        _settle(stream)
    return code


def _run(work: Callable[[], object], *, debug: bool) -> int:
    try:
        _open_streams()
        work()
        flush()
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place that catches everything
        if isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError):
            return CLOSED_PIPE
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            error = failed("output", error)
        return _reported(error, debug=debug) if isinstance(error, Error) else _bug(error, debug=debug)
    return 0


def _open_streams() -> None:
    """Sees to it that there are stdout and stderr, and that no text fails them."""
    if sys.stderr is None:
        # Else what is said would go to stdout, and the next file to be opened would be taken for stderr.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the run
    if sys.stdout is None:
        raise OutputError("stdout: got it closed, expected to write the result there")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _reported(error: Error, *, debug: bool) -> int:
    if debug:
        _trace(error)
    if isinstance(error, ScriptError) and error.output:
        _print(error.output.rstrip("\n"))
    _say(str(error))
    if error.hint:
        _print(one_line(f"hint: {error.hint}"))
    return error.exit_code


def _bug(error: Exception, *, debug: bool) -> int:
    if debug:
        _trace(error)
    _say(clean(f"a bug in lamina: got {type(error).__name__}: {error}, expected no such thing"))
    _print("hint: --debug shows where it happened; please report it")
    return BUG


def _trace(error: Exception) -> None:
    from lamina.cli.tracing import lines

    for line in lines(error):
        _print(one_line(line))


def _say(text: str) -> None:
    _print(one_line(f"lamina: {text}"))


def _print(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _settle(stream: TextIO | None) -> None:
    """Drops what is left in a buffer that cannot be written: it would fail again at exit, with a message."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
