"""Turn the end of a run, whatever it is, into an exit code and a message.

Every exception is caught here. A traceback is printed only under ``--debug``. Neither an error nor a signal leaves a
partial file behind, and a stderr that cannot be written to does not change the exit code.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from lamina.cli.failures import BUG, Failure
from lamina.cli.output import flush
from lamina.cli.shortages import find_shortage
from lamina.cli.signals import Interrupted, Signals
from lamina.errors import OutputError, output_error

CLOSED_PIPE = 141


def run_to_exit_code(work: Callable[[], object], *, debug: bool = False, as_json: bool = False) -> int:
    """Run ``work``, print its error on stderr, and return the exit code for the process.

    If a signal ended the work, the process ends here and nothing is returned.

    Args:
        work: The whole run; its return value is ignored.
        debug: Print tracebacks too.
        as_json: Print the error as a JSON document instead of lines.
    """
    signals = Signals(_format_interruption(as_json=as_json))
    code = BUG
    try:
        try:
            signals.install()
            code = _run(work, signals, debug=debug, as_json=as_json)
        finally:
            signals.close()
    except Interrupted:  # from the work, from the report of its error, or just before `close` took effect
        signals.close()
    if signals.received:
        signals.exit_now()
    for stream in (sys.stdout, sys.stderr):
        _flush_or_discard(stream)
    signals.restore()
    return code


def _format_interruption(*, as_json: bool) -> str:
    """Return the report of a run that SIGINT ends; it is made early, because a signal may arrive at any moment."""
    if not as_json:
        return "lamina: interrupted\n"
    return Failure.of(KeyboardInterrupt()).to_json() + "\n"


def _run(work: Callable[[], object], signals: Signals, *, debug: bool, as_json: bool) -> int:
    try:
        _open_streams()
        work()
        flush()
    except (Interrupted, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the one place that catches everything; panics of Rust do not derive from Exception
        if signals.received:  # the error is a consequence of the signal
            return signals.exit_code
        if isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError):
            return CLOSED_PIPE
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            error = output_error("output", error)
        failure = Failure.of(find_shortage(error) or error, debug=debug)
        failure.print(as_json=as_json)
        return failure.exit_code
    return 0


def _open_streams() -> None:
    """Make sure that stdout and stderr exist and can encode any text, and that writing to stderr never fails."""
    if sys.stderr is None:
        # Without it, `print` would write messages to stdout, and the next file to be opened would become descriptor 2.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the run
    elif sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _wrap_best_effort(sys.stderr)
    if sys.stdout is None:
        raise OutputError("stdout", "a closed descriptor", "an open one for the result")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class _BestEffortFile(io.FileIO):
    """A file that drops data which cannot be written, because the disk is full or the pipe has no reader left."""

    def write(self, data: Any, /) -> int:
        """Write ``data``, or drop it on an error, and return the number of bytes taken."""
        size = memoryview(data).nbytes
        try:
            written: int | None = super().write(data)
        except OSError:
            return size
        return size if written is None else written


def _wrap_best_effort(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    try:
        raw = _BestEffortFile(stream.fileno(), "wb", closefd=False)
    except (OSError, ValueError):  # the stream has no file descriptor, or a read-only one
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, errors="backslashreplace", line_buffering=True, write_through=True
    )


def _flush_or_discard(stream: TextIO | None) -> None:
    """Flush ``stream``, or discard its buffer if that fails.

    The interpreter would try again at exit, and print a message about it.
    """
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
