"""Ask credential helpers of docker, programs called ``docker-credential-NAME``, for credentials.

``docker-credential-NAME get`` reads the name of a registry from stdin and prints a JSON object with ``Username`` and
``Secret`` (docker-credential-helpers, "Development"). The username ``<token>`` says that the secret is an identity
token.

Invariant: what a helper prints on stdout is never part of a message. What it prints on stderr is, after redaction.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import IO

from lamina.errors import AuthError, FormatError
from lamina.formats.json_toml import parse_json
from lamina.messages.redaction import clean, cut
from lamina.messages.sizes import format_size
from lamina.registry.credential_documents import Helper
from lamina.registry.credentials import Credentials

TIME_LIMIT = 60.0
"""Seconds until a helper is killed. Some start slowly, and others ask the user to unlock a key."""

_MAX_OUTPUT = 1 << 20
_MAX_HINT_LENGTH = 400
_IDENTITY_TOKEN = "<token>"  # noqa: S105 - a marker
# Helpers print this with a status that is not 0.
_NOT_FOUND = b"credentials not found"
_EXPECTED = "credentials"


def ask_helper(helper: Helper, subject: str, search_path: str, *, limit: float = TIME_LIMIT) -> Credentials | None:
    """Return the credentials that ``helper`` has, or None if it has none.

    Args:
        helper: the program, and the name of the registry to ask it for.
        subject: the document that names the helper, in messages.
        search_path: the folders to look for the program in, as in ``PATH``.
        limit: the time limit in seconds.

    Raises:
        AuthError: the program is missing, fails, exceeds the time limit, or prints something else.

    """
    error_subject = f"{helper.program} for {helper.server}"
    program = shutil.which(helper.program, path=search_path)
    if not program:
        hint = f"install it, or remove it from {helper.key} in {subject} and log in again"
        raise AuthError(error_subject, "no such program on PATH", f"the program that {subject} names", hint=hint)
    try:
        result = _run([program, "get"], helper.server.encode(), limit)
    except OSError as error:
        raise AuthError(error_subject, error, f"the program that {subject} names") from error
    if result.status and _NOT_FOUND in result.stdout.lower():
        return None
    hint = f"`echo {helper.server} | {helper.program} get` shows what it answers; {subject} names it"
    if failure := _describe_failure(result, limit):
        stderr = clean(" ".join(result.stderr.decode("utf-8", "replace").split()))
        hint = f"it says '{cut(stderr, _MAX_HINT_LENGTH)}'; {hint}" if stderr else hint
        raise AuthError(error_subject, failure, _EXPECTED, hint=hint)
    return _parse_answer(result.stdout, error_subject, hint)


def _parse_answer(data: bytes, subject: str, hint: str) -> Credentials | None:
    answer = None
    with contextlib.suppress(FormatError):  # the parser's error has the answer as an attribute
        answer = parse_json(data, subject)
    fields = answer if isinstance(answer, dict) else {}
    username, secret = fields.get("Username"), fields.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise AuthError(subject, "an answer without Username and Secret", "a JSON object with both", hint=hint)
    if username == _IDENTITY_TOKEN:
        return Credentials("", "", secret)
    return Credentials(username, secret) if username or secret else None


@dataclass(frozen=True, slots=True)
class _HelperResult:
    """How a helper ended, and what it printed. The status is negative if a signal ended it."""

    status: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    timed_out: bool


def _describe_failure(result: _HelperResult, limit: float) -> str:
    """Return what is wrong with the end of a helper, or nothing."""
    if result.timed_out:
        return f"no answer within {limit:g} s"
    if len(result.stdout) > _MAX_OUTPUT:
        return f"more than {format_size(_MAX_OUTPUT)}"
    if result.status < 0:
        return f"signal {-result.status}"
    return f"exit status {result.status}" if result.status else ""


class _PipeReader(threading.Thread):
    """Reads a limited amount from a pipe, then closes it. A daemon of the helper may keep the other end open."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self.data = b""
        self.start()

    def run(self) -> None:
        with self._pipe, contextlib.suppress(OSError):
            self.data = self._pipe.read(_MAX_OUTPUT + 1)


def _run(command: list[str], text: bytes, limit: float) -> _HelperResult:
    """Run ``command`` with ``text`` as its input. Its process group is killed at the time limit, or on an exception."""
    end = time.monotonic() + limit
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Its own group, so that the programs that it starts can be ended with it.
        process_group=0 if os.name == "posix" else None,
    )
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - only for the type checker
    try:
        readers = _PipeReader(process.stdout), _PipeReader(process.stderr)
        with contextlib.suppress(BrokenPipeError), process.stdin as opened:
            opened.write(text)
        for reader in readers:
            reader.join(max(0.0, end - time.monotonic()))
        timed_out = any(reader.is_alive() for reader in readers)
        if not timed_out:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
            timed_out = process.returncode is None
    finally:
        _kill(process)
    return _HelperResult(process.returncode, readers[0].data, readers[1].data, timed_out)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of ``process`` and its group, unless it has ended and was waited for."""
    if process.returncode is None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
