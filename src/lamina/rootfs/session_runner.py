"""Start a session or a short program, wait for its answer, and end it when its time is up or when it is stuck.

The clock runs here, outside of the sandbox, so that no script can stop it.
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
# How many seconds a session gets to end by itself, for fakeroot's server has to end with it.
_GRACE_PERIOD = 10
# Seconds between two looks at the session's processes.
_INTERVAL = 0.5
# The same while a session is being ended, and where no descriptor says when a process ends, as Linux alone has it.
_SHORT_INTERVAL = 0.02
# A tree of some five million files; a script that writes to the session's descriptor gets no further.
_MAX_RESULT_SIZE = 1 << 30
_CHUNK_SIZE = 1 << 16


class SessionEnd(enum.Enum):
    """How a session ended: by itself, because its time was up, or because it had been stopped."""

    EXITED = enum.auto()
    TIMED_OUT = enum.auto()
    STOPPED = enum.auto()


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What a session answered, empty where it did not, and how it ended."""

    text: bytes
    end: SessionEnd


@dataclass(frozen=True, slots=True)
class Session:
    """A session's start: its command, the file that takes its answer, and its environment."""

    command: list[str]
    result: IO[bytes]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """The exit status of a short program and what it printed, stderr included."""

    status: int
    text: str


def open_pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Return the two ends of a pipe for an answer, the one to read from first. Raises `OSError`."""
    reader, writer = os.pipe()
    return open(reader, "rb", buffering=0), open(writer, "wb", buffering=0)


def run_session(session: Session, reader: IO[bytes], output: IO[bytes], limit: float | None) -> SessionResult:
    """Run ``session``, print to ``output``, and read the answer from ``reader``; ``limit`` is in seconds.

    Nothing of the session is left when this returns or raises. Raises `OSError` where it cannot be started.
    """
    pass_fds = [session.result.fileno()]
    with _start(session.command, "/", session.environment, output, pass_fds, _GRACE_PERIOD) as process:
        session.result.close()
        return _wait(process, reader.fileno(), limit)


def run_program(command: list[str], folder: Path, limit: float) -> ProgramResult:
    """Run a short program in ``folder`` without an environment, and return what it printed.

    Nothing of it is left when this returns or raises. Raises `OSError` where it cannot be started, and `TimeoutError`
    where it does not end within ``limit`` seconds.
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
    """Run ``command`` in a session of its own that is ended with the block, by force after ``grace_period`` seconds.

    The descriptors ``pass_fds`` are the only ones that the command has besides its stdin and ``output``.
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
                # Without a terminal of its own a script cannot type into the user's.
                start_new_session=True,
            )
        yield process
    finally:
        if process:
            _terminate(process, grace_period)


def _wait(process: subprocess.Popen[bytes], reader: int, limit: float | None) -> SessionResult:
    """Collect the answer until the session ends, its time is up, or it turns out to be stuck."""
    deadline = time.monotonic() + limit if limit else math.inf
    text = bytearray()
    os.set_blocking(reader, False)
    was_hung = False
    with _open_pidfd(process) as ended:
        poll = select.poll()
        for descriptor in (reader, *ended):
            poll.register(descriptor, select.POLLIN)
        interval = _INTERVAL if ended else _SHORT_INTERVAL
        while not _has_exited(process):
            left = deadline - time.monotonic()
            if left <= 0:
                return SessionResult(b"", SessionEnd.TIMED_OUT)
            if len(text) > _MAX_RESULT_SIZE:
                return SessionResult(b"", SessionEnd.EXITED)
            ready = poll.poll(math.ceil(min(interval, left) * 1000))
            if not _read(reader, text) and reader in dict(ready):
                poll.unregister(reader)
            if not ready:
                # Twice in a row, so that a process which another one is about to continue does not count.
                is_hung = processes.is_hung(process.pid)
                if is_hung and was_hung:
                    return SessionResult(b"", SessionEnd.STOPPED)
                was_hung = is_hung
    _read(reader, text)
    return SessionResult(bytes(text), SessionEnd.EXITED)


def _read(reader: int, text: bytearray) -> bool:
    """Read what there is; return False where nothing will come any more."""
    try:
        while piece := os.read(reader, _CHUNK_SIZE):
            text += piece
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def _open_pidfd(process: subprocess.Popen[bytes]) -> Iterator[tuple[int, ...]]:
    """Give a descriptor that can be read when the process has ended, where the system has such descriptors."""
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
    """Tell whether the process has ended, without collecting it: until then its number is no other process's."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # SIGCHLD is ignored in this process, so the kernel collects it
        return True


def _terminate(process: subprocess.Popen[bytes], grace_period: float) -> None:
    """End the session: by the end of its stdin where it still listens, else by force after ``grace_period`` seconds."""
    if process.stdin:
        process.stdin.close()
    deadline = time.monotonic() + grace_period
    while not _has_exited(process) and time.monotonic() < deadline and not processes.is_hung(process.pid):
        time.sleep(_SHORT_INTERVAL)
    if not _has_exited(process):
        processes.terminate_fakeroot(process.pid)
        # The first process of a sandbox is below this one; when it has gone, so have all others.
        processes.kill_descendants(process.pid)
        process.kill()
    # A script can kill the session's first process, so that others are below this one no longer.
    processes.kill_session(process.pid)
    process.wait()
