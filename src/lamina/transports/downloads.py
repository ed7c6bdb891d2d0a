"""Files that are read over HTTP, and asked for again where an answer is cut.

Invariant: what `Downloader.stream` gives are the bytes of one state of the file, each once and in order, however often
the connection was cut.

RFC 9110, section 14, for ranges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from lamina.errors import FormatError, IntegrityError, NotFound
from lamina.transports.responses import METHOD_UNSUPPORTED, Request, Response
from lamina.transports.retry import RetryPolicy, RetryState, TransientError

_STRONG = re.compile('"[!#-~]*"')
_DATE = re.compile("[ -~]{1,64}")
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


class Downloader:
    """Reads the answers that ``open_response`` gives to requests; it raises `TransientError` for what is worth another
    try.
    """

    def __init__(
        self, open_response: Callable[[Request], AbstractContextManager[Response]], policy: RetryPolicy
    ) -> None:
        self._open_response = open_response
        self._policy = policy

    def read(self, request: Request, limit: int) -> bytes | None:
        """Read the whole file, None where it is absent.

        Raises `FormatError` above ``limit`` bytes and for a broken coding, `Unavailable`.
        """
        tries = RetryState(self._policy, request.subject)
        while True:
            try:
                with self._open_response(request) as response:
                    return (
                        None
                        if response.is_absent
                        else b"".join(_limit_size(response.content(), limit, request.subject))
                    )
            except TransientError as error:
                tries.retry(error)

    def stream(self, request: Request, limit: int) -> Iterator[bytes]:
        """Read the file in pieces of at most 256 KiB. Where the connection is cut, it goes on from there.

        Raises `NotFound` where it is absent, `FormatError` as soon as there are more than ``limit`` bytes, or for a
        broken coding, `IntegrityError` where the file changed meanwhile, `Unavailable`.
        """
        download = _Download(request)
        tries = RetryState(self._policy, request.subject)
        while True:
            before = download.received
            try:
                yield from self._continue(download, limit)
            except TransientError as error:
                tries.retry(error, download.received - before)
            else:
                return

    def size(self, request: Request) -> int | None:
        """Ask by HEAD how many bytes the file has, None where it is absent; raises `Unavailable` if nobody says."""
        tries = RetryState(self._policy, request.subject)
        while True:
            try:
                with self._open_response(request) as response:
                    if response.status not in METHOD_UNSUPPORTED:
                        return None if response.is_absent else response.require_length()
                request = replace(request, method="GET")
            except TransientError as error:
                tries.retry(error)

    def _continue(self, download: _Download, limit: int) -> Iterator[bytes]:
        with self._open_response(download.next_request()) as response:
            skipped = download.start(response)
            for piece in response.content() if not download.is_complete else ():
                rest = piece[skipped:] if skipped else piece
                skipped -= len(piece) - len(rest)
                if rest:
                    # What is still within the limit is given first: the reader then says the same of a file that is
                    # too long, however much of it arrives at a time.
                    remaining = download.remaining(limit)
                    if len(rest) > remaining > 0:
                        yield rest[:remaining]
                    download.record(rest, limit)
                    yield rest
            download.finish(skipped)


class _Download:
    """How far a file has come, and what it was when it began."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.received = 0
        self.is_complete = False
        self._has_started = False
        self._length: int | None = None
        self._validator = ""
        self._is_encoded = False

    def next_request(self) -> Request:
        """The request for what is left, where the server can tell that it is of the same file, else for all of it."""
        request = self.request
        if not self.received or not self._validator or self._is_encoded:
            return request
        headers = request.headers | {"Range": f"bytes={self.received}-", "If-Range": self._validator}
        return replace(request, headers=headers)

    def start(self, response: Response) -> int:
        """Takes note of what ``response`` is; says how many of its bytes came before."""
        if response.is_absent:
            raise NotFound(f"{self.request.subject}: got HTTP {response.status}, expected the file")
        if response.status == 416:
            self._end_at_range(response)
            return 0
        if response.status == 206:
            self._start_range(response)
            return 0
        length = None if response.codings else response.length
        if not self._has_started:
            self._has_started = True
            self._is_encoded = bool(response.codings)
            self._length = length
            etag, modified = response.header("ETag"), response.header("Last-Modified")
            self._validator = etag if _STRONG.fullmatch(etag) else modified if _DATE.fullmatch(modified) else ""
        elif None not in (length, self._length) and length != self._length:
            raise self._changed_error(f"{length} bytes", f"{self._length} as before")
        return self.received

    def remaining(self, limit: int) -> int:
        """Return how many more bytes ``limit`` allows; 0 for a file whose length is known to be too much."""
        return 0 if (self._length or 0) > limit else limit - self.received

    def record(self, piece: bytes, limit: int) -> None:
        """Takes note of ``piece``; raises `FormatError` where it is too much."""
        self.received += len(piece)
        if self.received > limit or (self._length or 0) > limit:
            size = max(self.received, self._length or 0)
            raise FormatError(f"{self.request.subject}: got {size} bytes, expected at most {limit}")

    def finish(self, skipped: int) -> None:
        """Raises `TransientError` where more should have come, `IntegrityError` where less came than once before."""
        if skipped:
            raise self._changed_error(f"{self.received - skipped} bytes", f"the {self.received} of before")
        if self._length is not None and self.received != self._length:
            raise TransientError(f"the end of the answer at byte {self.received} of {self._length}")

    def _start_range(self, response: Response) -> None:
        found = _RANGE.fullmatch(response.header("Content-Range"))
        if found is None or int(found[1]) != self.received or response.codings:
            self._validator = ""  # it is asked for no range again
            raise TransientError(f"another range than from byte {self.received}")
        total = None if found[3] == "*" else int(found[3])
        if None not in (total, self._length) and total != self._length:
            raise self._changed_error(f"{total} bytes", f"{self._length} as before")
        self._length = self._length or total

    def _end_at_range(self, response: Response) -> None:
        found = _UNSATISFIED.fullmatch(response.header("Content-Range"))
        if found is None or int(found[1]) != self.received:
            raise self._changed_error("no bytes", f"those from {self.received} on")
        self.is_complete = True
        self._length = self.received

    def _changed_error(self, got: str, expected: str) -> IntegrityError:
        return IntegrityError(f"{self.request.subject}: got {got}, expected {expected}: it changed meanwhile")


def _limit_size(pieces: Iterator[bytes], limit: int, subject: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise FormatError(f"{subject}: got more than {limit} bytes, expected at most that many")
        yield piece
