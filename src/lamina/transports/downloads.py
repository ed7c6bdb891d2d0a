"""Download files over HTTP, and resume a download when its connection is cut.

Ranges are those of RFC 9110, section 14.

Invariant: `Downloader.stream` yields the bytes of one version of the file, each byte once and in order, even if the
connection is cut several times. If the caller checks the digest, that check replaces the server's word for the version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from lamina.errors import FormatError, IntegrityError, NotFound
from lamina.messages.sizes import format_size
from lamina.transports.responses import METHOD_UNSUPPORTED, Request, Response
from lamina.transports.retry import RetryPolicy, RetryState, TransientError

_STRONG = re.compile('"[!#-~]*"')
_DATE = re.compile("[ -~]{1,64}")
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


class Downloader:
    """Downloads files, with retries.

    Args:
        open_response: sends a request and returns the response, which is closed at the end of the block. It raises
            `TransientError` if the request is worth repeating.
        policy: how often, and after what delay, a request is repeated.

    """

    def __init__(
        self, open_response: Callable[[Request], AbstractContextManager[Response]], policy: RetryPolicy
    ) -> None:
        self._open_response = open_response
        self._policy = policy

    def read(self, request: Request, limit: int) -> bytes | None:
        """Read the whole file, or return None if it is absent.

        Raises:
            FormatError: the file has more than ``limit`` bytes, or its content coding is broken.
            Unavailable: the file cannot be read.

        """
        retries = RetryState(self._policy, request.subject)
        while True:
            try:
                with self._open_response(request) as response:
                    return (
                        None
                        if response.is_absent
                        else b"".join(_limit_size(response.content(), limit, request.subject))
                    )
            except TransientError as error:
                retries.retry(error)

    def stream(self, request: Request, limit: int, *, checked_size: int | None = None) -> Iterator[bytes]:
        """Yield the file in pieces of at most 256 KiB. If the connection is cut, continue after the last byte.

        Args:
            request: the request for the whole file.
            limit: the maximum number of bytes.
            checked_size: the size of a file whose digest the caller checks. Such a file is continued even if the server
                states no version of it.

        Raises:
            NotFound: the file is absent.
            FormatError: more than ``limit`` bytes have been received, or the content coding is broken.
            IntegrityError: the file changed during the download.
            Unavailable: the file cannot be read.

        """
        download = _Download(request, checked_size)
        retries = RetryState(self._policy, request.subject)
        while True:
            before = download.received
            try:
                yield from self._continue(download, limit)
            except TransientError as error:
                retries.retry(error, download.received - before)
            else:
                return

    def size(self, request: Request) -> int | None:
        """Return the file's size in bytes, or None if it is absent.

        The request is HEAD, or GET for a server that does not support HEAD. Raises `Unavailable` if the response does
        not state the length.
        """
        retries = RetryState(self._policy, request.subject)
        while True:
            try:
                with self._open_response(request) as response:
                    if response.status not in METHOD_UNSUPPORTED:
                        return None if response.is_absent else response.require_length()
                request = replace(request, method="GET")
            except TransientError as error:
                retries.retry(error)

    def _continue(self, download: _Download, limit: int) -> Iterator[bytes]:
        with self._open_response(download.next_request()) as response:
            to_skip = download.start(response)
            for piece in response.content() if not download.is_complete else ():
                rest = piece[to_skip:] if to_skip else piece
                to_skip -= len(piece) - len(rest)
                if rest:
                    # The bytes within the limit are yielded before the error is raised, so that the caller reports the
                    # same error for a file that is too long, regardless of how the file is divided into pieces.
                    remaining = download.remaining(limit)
                    if len(rest) > remaining > 0:
                        yield rest[:remaining]
                    download.record(rest, limit)
                    yield rest
            download.finish(to_skip)


class _Download:
    """The state of one download: how many bytes were received, and which version of the file they belong to."""

    def __init__(self, request: Request, checked_size: int | None) -> None:
        self.request = request
        self.received = 0
        self.is_complete = False
        self._checked_size = checked_size
        self._sends_ranges = True
        self._has_started = False
        self._length: int | None = None
        self._validator = ""
        self._is_encoded = False

    def next_request(self) -> Request:
        """Return the request for the rest of the file, or for all of it if its version cannot be identified."""
        return replace(self.request, headers=self.request.headers | self._range_headers())

    def _range_headers(self) -> dict[str, str]:
        if not self.received or not self._sends_ranges or self._is_encoded:
            return {}
        size = self._checked_size
        if size is not None:  # some registries understand only ranges with an end
            return {"Range": f"bytes={self.received}-{size - 1}"} if self.received < size else {}
        return {"Range": f"bytes={self.received}-", "If-Range": self._validator} if self._validator else {}

    def start(self, response: Response) -> int:
        """Check the headers of ``response``, and return how many of its bytes have been received before.

        Raises `NotFound` if the file is absent and `IntegrityError` if it changed.
        """
        if response.is_absent:
            raise NotFound(self.request.subject, f"HTTP {response.status}", "the file")
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
        """Return how many more bytes ``limit`` allows, or 0 if the file's known length is above it."""
        return 0 if (self._length or 0) > limit else limit - self.received

    def record(self, piece: bytes, limit: int) -> None:
        """Count ``piece``. Raises `FormatError` if the file is longer than ``limit``."""
        self.received += len(piece)
        if self.received > limit or (self._length or 0) > limit:
            raise FormatError(self.request.subject, f"more than {format_size(limit)}", "a smaller file")

    def finish(self, to_skip: int) -> None:
        """Check the length at the end of a response. ``to_skip`` is how many of its bytes were still to be skipped.

        Raises `TransientError` if the response ended too early, and `IntegrityError` if the file is shorter than the
        part that was received before.
        """
        if to_skip:
            raise self._changed_error(f"{self.received - to_skip} bytes", f"{self.received} as before")
        if self._length is not None and self.received != self._length:
            raise TransientError(f"the end of the response at byte {self.received} of {self._length}")

    def _start_range(self, response: Response) -> None:
        match = _RANGE.fullmatch(response.header("Content-Range"))
        if match is None or int(match[1]) != self.received or response.codings:
            self._sends_ranges = False
            raise TransientError(f"a range that does not start at byte {self.received}")
        total = None if match[3] == "*" else int(match[3])
        if None not in (total, self._length) and total != self._length:
            raise self._changed_error(f"{total} bytes", f"{self._length} as before")
        self._length = self._length or total

    def _end_at_range(self, response: Response) -> None:
        match = _UNSATISFIED.fullmatch(response.header("Content-Range"))
        if match is None and self._checked_size is not None:  # the server does not understand the range
            self._sends_ranges = False
            raise TransientError(f"HTTP 416 for the bytes from {self.received} on")
        if match is None or int(match[1]) != self.received:
            raise self._changed_error("no bytes", f"the bytes from {self.received} on")
        self.is_complete = True
        self._length = self.received

    def _changed_error(self, got: str, expected: str) -> IntegrityError:
        expected = f"{expected}: the file changed during the download"
        return IntegrityError(self.request.subject, got, expected, is_transient=True)


def _limit_size(pieces: Iterator[bytes], limit: int, subject: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise FormatError(subject, f"more than {format_size(limit)}", "a smaller file")
        yield piece
