"""Start a session or a short program, wait for its result, and end it when its time is up or when it hangs.

The time limit is enforced outside of the sandbox, so that no script can evade it.
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lamina.rootfs.session import processes
from lamina.rootfs.signals import defer_signals

_UMASK = 0o022
# How many seconds a session has to end by itself, because fakeroot's server has to end with it.
_GRACE_PERIOD = 10
# Seconds between two checks of the session's processes.
_INTERVAL = 0.5
# The interval while a session is being ended, and on systems without pidfd_open(2), which only Linux has.
_SHORT_INTERVAL = 0.02
# This is enough for a tree of about five million files, and stops a script that writes to the session's descriptor.
_MAX_RESULT_SIZE = 1 << 30
_CHUNK_SIZE = 1 << 16


class SessionEnd(enum.Enum):
    """How a session ended: by itself, at its time limit, or because it was stopped (SIGSTOP) and could not continue."""

    EXITED = enum.auto()
    TIMED_OUT = enum.auto()
    STOPPED = enum.auto()


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The JSON text that a session wrote, which may be empty, and how the session ended."""

    text: bytes
    end: SessionEnd


@dataclass(frozen=True, slots=True)
class Session:
    """How to start a session: its command, the pipe that its result is written to, and its environment."""

    command: list[str]
    result: IO[bytes]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """The exit status of a short program and what it printed, stderr included."""

    status: int
    text: str


def open_pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Open a pipe for a result and return its ends, the one to read from first; raise `OSError` if that fails."""
    reader, writer = os.pipe()
    return open(reader, "rb", buffering=0), open(writer, "wb", buffering=0)


def run_session(session: Session, reader: IO[bytes], output: IO[bytes], limit: float | None) -> SessionResult:
    """Run ``session`` and read its result from ``reader``. All its processes have ended when this returns or raises.

    Args:
        session: What to start. Its pipe is closed in this process once the session has started.
        reader: The end of the session's pipe to read from.
        output: The file for stdout and stderr.
        limit: The time limit in seconds; None for no limit.

    Raises:
        OSError: The session cannot be started.
    """
    pass_fds = [session.result.fileno()]
    with _start(session.command, "/", session.environment, output, pass_fds, _GRACE_PERIOD) as process:
        session.result.close()
        return _wait(process, reader.fileno(), limit)


def run_program(command: list[str], folder: Path, limit: float) -> ProgramResult:
    """Run a short program in ``folder`` with an empty environment, and return its exit status and output.

    All its processes have ended when this returns or raises.

    Raises:
        TimeoutError: The program was stopped, or it does not end within ``limit`` seconds.
        OSError: The program cannot be started.
    """
    reader, writer = open_pipe()
    with reader, writer, _start(command, folder, {}, writer, [], 0) as process:
        writer.close()
        result = _wait(process, reader.fileno(), limit)
    if result.end is not SessionEnd.EXITED:
        raise TimeoutError(
            f"no end within {limit:g} s" if result.end is SessionEnd.TIMED_OUT else "a process that was stopped"
        )
    return ProgramResult(process.returncode, result.text.decode("utf-8", "replace"))


@contextlib.contextmanager
def _start(
    command: list[str],
    folder: str | Path,
    environment: Mapping[str, str],
    output: IO[bytes],
    pass_fds: list[int],
    grace_period: float,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` in its own session (setsid(2)), which is ended when the ``with`` block ends.

    The session has ``grace_period`` seconds to end by itself before it is killed. The command inherits only stdin,
    ``output`` and the descriptors ``pass_fds``.
    """
    process = None
    try:
        with defer_signals():
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=_UMASK,
                pass_fds=pass_fds,
                # In a new session the script has no controlling terminal, so it cannot insert input into the user's.
                start_new_session=True,
            )
        yield process
    finally:
        if process:
            _terminate(process, grace_period)


def _wait(process: subprocess.Popen[bytes], reader: int, limit: float | None) -> SessionResult:
    """Read the result until the session ends, its time is up, or it hangs."""
    deadline = time.monotonic() + limit if limit else math.inf
    text = bytearray()
    os.set_blocking(reader, False)
    was_hung = False
    with _open_pidfd(process) as pidfds:
        poll = select.poll()
        for descriptor in (reader, *pidfds):
            poll.register(descriptor, select.POLLIN)
        interval = _INTERVAL if pidfds else _SHORT_INTERVAL
        while not _has_exited(process):
            seconds_left = deadline - time.monotonic()
            if seconds_left <= 0:
                return SessionResult(b"", SessionEnd.TIMED_OUT)
            if len(text) > _MAX_RESULT_SIZE:
                return SessionResult(b"", SessionEnd.EXITED)
            ready = poll.poll(math.ceil(min(interval, seconds_left) * 1000))
            if not _read_available(reader, text) and reader in dict(ready):
                poll.unregister(reader)
            if not ready:
                # Two consecutive checks must agree, because another process may be about to continue a stopped one.
                is_hung = processes.is_hung(process.pid)
                if is_hung and was_hung:
                    return SessionResult(b"", SessionEnd.STOPPED)
                was_hung = is_hung
    _read_available(reader, text)
    return SessionResult(bytes(text), SessionEnd.EXITED)


def _read_available(reader: int, text: bytearray) -> bool:
    """Append the available bytes to ``text``; return False at the end of the file."""
    try:
        while piece := os.read(reader, _CHUNK_SIZE):
            text += piece
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def _open_pidfd(process: subprocess.Popen[bytes]) -> Iterator[tuple[int, ...]]:
    """Open a descriptor that becomes readable when the process ends; yield no descriptor on systems without them."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        yield ()
        return
    try:
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process has ended, without collecting it, so that its number cannot be reused yet."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # SIGCHLD is ignored in this process, so the kernel collects it
        return True


def _terminate(process: subprocess.Popen[bytes], grace_period: float) -> None:
    """End the session by closing its stdin; kill it if it does not end within ``grace_period`` seconds."""
    if process.stdin:
        process.stdin.close()
    deadline = time.monotonic() + grace_period
    while not _has_exited(process) and time.monotonic() < deadline and not processes.is_hung(process.pid):
        time.sleep(_SHORT_INTERVAL)
    if not _has_exited(process):
        processes.terminate_fakeroot(process.pid)
        # The first process of a sandbox is a descendant of this one. When it ends, all others in there end too.
        processes.kill_descendants(process.pid)
        process.kill()
    # A script can kill the session's first process. Its other processes are then no longer descendants of this one.
    processes.kill_session(process.pid)
    process.wait()
