"""How a run ends: an exit code for everything that can happen.

Invariant: nothing but lamina's own bugs shows a traceback, and neither an error nor a signal leaves a part of a file
behind. What cannot be written to stderr changes no exit code.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from lamina.cli.output import escape_controls, flush, print_script_output
from lamina.cli.shortages import find_shortage
from lamina.cli.signals import Interrupted, Signals
from lamina.errors import Error, OutputError, ScriptError, output_error
from lamina.messages.redaction import clean

INTERRUPTED = 130
CLOSED_PIPE = 141
BUG = 1


def run_to_exit_code(work: Callable[[], object], *, debug: bool = False) -> int:
    """Run ``work`` and return the code that the process is to end with; errors are printed on stderr.

    Where a signal has ended the work, the process ends here.
    """
    signals = Signals()
    code = BUG
    try:
        try:
            signals.install()
            code = _run(work, signals, debug=debug)
        finally:
            signals.close()
    except Interrupted:  # else it came while an error was reported
        signals.close()
    if signals.received:
        signals.exit_now()
    for stream in (sys.stdout, sys.stderr):
        _flush_or_discard(stream)
    signals.restore()
    return code


def _run(work: Callable[[], object], signals: Signals, *, debug: bool) -> int:
    try:
        _open_streams()
        work()
        flush()
    except KeyboardInterrupt:
        _print_message("interrupted")
        return INTERRUPTED
    except (Interrupted, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the one place that catches everything; panics of Rust are no Exception
        if signals.received:  # the error is a consequence of that
            return signals.exit_code
        if isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError):
            return CLOSED_PIPE
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            error = output_error("output", error)
        error = find_shortage(error) or error
        return _report_error(error, debug=debug) if isinstance(error, Error) else _report_bug(error, debug=debug)
    return 0


def _open_streams() -> None:
    """Make sure that there are stdout and stderr, that no text fails them, and that stderr fails nothing."""
    if sys.stderr is None:
        # Else what is said would go to stdout, and the next file to be opened would be taken for stderr.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the run
    elif sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _wrap_best_effort(sys.stderr)
    if sys.stdout is None:
        raise OutputError("stdout: got it closed, expected to write the result there")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class _BestEffortFile(io.FileIO):
    """A file that drops what cannot be written to it, as when the disk is full or nobody reads the pipe any more."""

    def write(self, data: Any, /) -> int:
        """Write ``data``, or drop it."""
        size = memoryview(data).nbytes
        try:
            written: int | None = super().write(data)
        except OSError:
            return size
        return size if written is None else written


def _wrap_best_effort(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    try:
        raw = _BestEffortFile(stream.fileno(), "wb", closefd=False)
    except (OSError, ValueError):  # no file of the system's, or one that may only be read
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, errors="backslashreplace", line_buffering=True, write_through=True
    )


def _report_error(error: Error, *, debug: bool) -> int:
    if debug:
        _print_traceback(error)
    if isinstance(error, ScriptError) and error.output:
        with contextlib.suppress(OSError):
            print_script_output(error.output)
    _print_message(str(error))
    if error.hint:
        _print_stderr(escape_controls(f"hint: {error.hint}"))
    return error.exit_code


def _report_bug(error: BaseException, *, debug: bool) -> int:
    if debug:
        _print_traceback(error)
    _print_message(clean(f"a bug in lamina: got {type(error).__name__}: {error}, expected no such thing"))
    _print_stderr("hint: --debug shows where it happened; please report it")
    return BUG


def _print_traceback(error: BaseException) -> None:
    from lamina.cli.debug_traceback import format_traceback

    for line in format_traceback(error):
        _print_stderr(escape_controls(line))


def _print_message(text: str) -> None:
    _print_stderr(escape_controls(f"lamina: {text}"))


def _print_stderr(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _flush_or_discard(stream: TextIO | None) -> None:
    """Drops what is left in a buffer that cannot be written: it would fail again at exit, with a message."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
