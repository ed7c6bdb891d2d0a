"""Run the command-line program of a container engine.

Invariant: no secret is an argument of a program, because other users of the machine can see those. This is the only
module of lamina that runs programs of engines.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from lamina.errors import Error, OutputError

_MAX_MESSAGE_LENGTH = 400


@dataclass(frozen=True, slots=True)
class EngineProgram:
    """The program of an engine.

    Attributes:
        name: its name in messages, such as ``docker``.
        path: the file that is run.
        variables: changes to the environment of the program; None removes a variable.
    """

    name: str
    path: str
    variables: Mapping[str, str | None] = field(default_factory=dict)

    def call(self, *arguments: str) -> str:
        """Run the program with ``arguments``, and return its output.

        Raises `OutputError` if it cannot be started or fails; the message has its first line on stderr that begins
        with ``Error``, or the last one.
        """
        done = self._run(arguments)
        if done.returncode:
            raise self._make_error(arguments, done.returncode, done.stderr)
        return done.stdout.decode("utf-8", "replace")

    def feed(self, write: Callable[[IO[bytes]], object], *arguments: str) -> None:
        """Run the program with ``arguments``, while ``write`` writes to its stdin.

        Raises:
            OutputError: the program cannot be started or fails.
            Error: what ``write`` raises while the program succeeds.

        """
        with self._start(arguments) as (process, stdin, stderr):
            error = _write(write, stdin)
            if process.wait():
                stderr.seek(0)
                raise self._make_error(arguments, process.returncode, stderr.read()) from error
            if error:
                raise error

    @contextlib.contextmanager
    def _start(self, arguments: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
        """Start the program for the block; yield it with its stdin and a file with its stderr."""
        reader, writer = os.pipe()
        with open(reader, "rb") as stdin, open(writer, "wb") as pipe, tempfile.TemporaryFile() as stderr:
            command = (self.path, *arguments)
            try:
                process = subprocess.Popen(
                    command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=stderr, env=self._environment()
                )
            except OSError as error:
                raise OutputError(self.name, error, "a program that runs") from error
            stdin.close()
            with process:
                try:
                    yield process, pipe, stderr
                except BaseException:
                    process.kill()
                    raise

    def replace_process(self, *arguments: str) -> int:
        """Become the program, which gets the terminal and the signals of this process.

        Where processes cannot do that (Windows), run the program and return its exit status.
        """
        command = [self.path, *arguments]
        try:
            if os.name == "posix":
                os.execve(self.path, command, self._environment())  # noqa: S606 - as for all programs, no shell
            return subprocess.run(command, env=self._environment(), check=False).returncode
        except OSError as error:
            raise OutputError(self.name, error, "a program that runs") from error

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                (self.path, *arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._environment(),
                check=False,
            )
        except OSError as error:
            raise OutputError(self.name, error, "a program that runs") from error

    def _environment(self) -> dict[str, str]:
        changed = {**os.environ, **self.variables}
        return {name: value for name, value in changed.items() if value is not None}

    def _make_error(self, arguments: tuple[str, ...], status: int, stderr: bytes) -> OutputError:
        lines = stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        said = next((line for line in lines if line.startswith("Error")), lines[-1]).strip()[:_MAX_MESSAGE_LENGTH]
        command = next((word for word in arguments if not word.startswith("-")), "")
        return OutputError(f"{self.name} {command}".strip(), f"exit status {status}: {said}", "success")


def _write(write: Callable[[IO[bytes]], object], out: IO[bytes]) -> Exception | None:
    """Call ``write`` and close ``out``; return the error of either, because the reader may have a better message."""
    try:
        write(out)
        out.close()
    except (Error, OSError) as error:
        with contextlib.suppress(OSError):
            out.close()
        return error
    return None
