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

from lamina.rootfs.deferral import deferred_signals
from lamina.rootfs.session import processes

_UMASK = 0o022
# How many seconds a session gets to end by itself, for fakeroot's server has to end with it.
_PATIENCE = 10
# Seconds between two looks at the session's processes.
_INTERVAL = 0.5
# The same while a session is being ended, and where no descriptor says when a process ends, as Linux alone has it.
_SHORT_INTERVAL = 0.02
# A tree of some five million files; a script that writes to the session's descriptor gets no further.
_LONGEST_ANSWER = 1 << 30
_PIECE = 1 << 16


class End(enum.Enum):
    """How a session ended: by itself, because its time was up, or because it had been stopped."""

    ITSELF = enum.auto()
    LATE = enum.auto()
    STUCK = enum.auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a session answered, empty where it did not, and how it ended."""

    text: bytes
    end: End


@dataclass(frozen=True, slots=True)
class Session:
    """A session's start: its command, the file that takes its answer, and its environment."""

    command: list[str]
    answer: IO[bytes]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Printed:
    """The exit status of a short program and what it printed, stderr included."""

    status: int
    text: str


def pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Return the two ends of a pipe for an answer, the one to read from first. Raises `OSError`."""
    reader, writer = os.pipe()
    return open(reader, "rb", buffering=0), open(writer, "wb", buffering=0)


def run(session: Session, reader: IO[bytes], output: IO[bytes], limit: float | None) -> Answer:
    """Run ``session``, print to ``output``, and read the answer from ``reader``; ``limit`` is in seconds.

    Nothing of the session is left when this returns or raises. Raises `OSError` where it cannot be started.
    """
    kept = [session.answer.fileno()]
    with _started(session.command, "/", session.environment, output, kept, _PATIENCE) as process:
        session.answer.close()
        return _wait(process, reader.fileno(), limit)


def ask(command: list[str], folder: Path, limit: float) -> Printed:
    """Run a short program in ``folder`` without an environment, and return what it printed.

    Nothing of it is left when this returns or raises. Raises `OSError` where it cannot be started, and `TimeoutError`
    where it does not end within ``limit`` seconds.
    """
    reader, writer = pipe()
    with reader, writer, _started(command, folder, {}, writer, [], 0) as process:
        writer.close()
        answer = _wait(process, reader.fileno(), limit)
    if answer.end is not End.ITSELF:
        raise TimeoutError(f"no end within {limit:g} s" if answer.end is End.LATE else "a process that was stopped")
    return Printed(process.returncode, answer.text.decode("utf-8", "replace"))


@contextlib.contextmanager
def _started(
    command: list[str],
    folder: str | Path,
    environment: Mapping[str, str],
    output: IO[bytes],
    kept: list[int],
    patience: float,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` in a session of its own that is ended with the block, by force after ``patience`` seconds.

    The descriptors ``kept`` are the only ones that the command has besides its stdin and ``output``.
    """
    process = None
    try:
        with deferred_signals():
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=_UMASK,
                pass_fds=kept,
                # Without a terminal of its own a script cannot type into the user's.
                start_new_session=True,
            )
        yield process
    finally:
        if process:
            _end(process, patience)


def _wait(process: subprocess.Popen[bytes], reader: int, limit: float | None) -> Answer:
    """Collect the answer until the session ends, its time is up, or it turns out to be stuck."""
    deadline = time.monotonic() + limit if limit else math.inf
    text = bytearray()
    os.set_blocking(reader, False)
    was_stuck = False
    with _end_of(process) as ended:
        poll = select.poll()
        for descriptor in (reader, *ended):
            poll.register(descriptor, select.POLLIN)
        interval = _INTERVAL if ended else _SHORT_INTERVAL
        while not _has_ended(process):
            left = deadline - time.monotonic()
            if left <= 0:
                return Answer(b"", End.LATE)
            if len(text) > _LONGEST_ANSWER:
                return Answer(b"", End.ITSELF)
            ready = poll.poll(math.ceil(min(interval, left) * 1000))
            if not _read(reader, text) and reader in dict(ready):
                poll.unregister(reader)
            if not ready:
                # Twice in a row, so that a process which another one is about to continue does not count.
                is_stuck = processes.is_stuck(process.pid)
                if is_stuck and was_stuck:
                    return Answer(b"", End.STUCK)
                was_stuck = is_stuck
    _read(reader, text)
    return Answer(bytes(text), End.ITSELF)


def _read(reader: int, text: bytearray) -> bool:
    """Read what there is; return False where nothing will come any more."""
    try:
        while piece := os.read(reader, _PIECE):
            text += piece
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def _end_of(process: subprocess.Popen[bytes]) -> Iterator[tuple[int, ...]]:
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


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the process has ended, without collecting it: until then its number is no other process's."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # SIGCHLD is ignored in this process, so the kernel collects it
        return True


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    """End the session: by the end of its stdin where it still listens, else by force after ``patience`` seconds."""
    if process.stdin:
        process.stdin.close()
    deadline = time.monotonic() + patience
    while not _has_ended(process) and time.monotonic() < deadline and not processes.is_stuck(process.pid):
        time.sleep(_SHORT_INTERVAL)
    if not _has_ended(process):
        processes.ask_fakeroot_to_end(process.pid)
        # The first process of a sandbox is below this one; when it has gone, so have all others.
        processes.end_below(process.pid)
        process.kill()
    # A script can kill the session's first process, so that others are below this one no longer.
    processes.end_session(process.pid)
    process.wait()
