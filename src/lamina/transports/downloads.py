"""Files that are read over HTTP, and asked for again where an answer is cut.

Invariant: what `Downloads.stream` gives are the bytes of one state of the file, each once and in order, however often
the connection was cut.

RFC 9110, section 14, for ranges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from lamina.errors import FormatError, IntegrityError, NotFound
from lamina.transports.responses import NOT_ALLOWED, Answer, Request
from lamina.transports.retry import PassingError, Patience, Tries

_STRONG = re.compile('"[!#-~]*"')
_DATE = re.compile("[ -~]{1,64}")
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


class Downloads:
    """Reads the answers that ``ask`` gives to requests; it raises `PassingError` for what is worth another try."""

    def __init__(self, ask: Callable[[Request], AbstractContextManager[Answer]], patience: Patience) -> None:
        self._ask = ask
        self._patience = patience

    def read(self, request: Request, limit: int) -> bytes | None:
        """Read the whole file, None where it is absent.

        Raises `FormatError` above ``limit`` bytes and for a broken coding, `Unavailable`.
        """
        tries = Tries(self._patience, request.subject)
        while True:
            try:
                with self._ask(request) as answer:
                    return None if answer.is_absent else b"".join(_bounded(answer.content(), limit, request.subject))
            except PassingError as error:
                tries.failed(error)

    def stream(self, request: Request, limit: int) -> Iterator[bytes]:
        """Read the file in pieces of at most 256 KiB. Where the connection is cut, it goes on from there.

        Raises `NotFound` where it is absent, `FormatError` as soon as there are more than ``limit`` bytes, or for a
        broken coding, `IntegrityError` where the file changed meanwhile, `Unavailable`.
        """
        download = _Download(request)
        tries = Tries(self._patience, request.subject)
        while True:
            before = download.given
            try:
                yield from self._rest(download, limit)
            except PassingError as error:
                tries.failed(error, download.given - before)
            else:
                return

    def size(self, request: Request) -> int | None:
        """Ask by HEAD how many bytes the file has, None where it is absent; raises `Unavailable` if nobody says."""
        tries = Tries(self._patience, request.subject)
        while True:
            try:
                with self._ask(request) as answer:
                    if answer.status not in NOT_ALLOWED:
                        return None if answer.is_absent else answer.whole_length()
                request = replace(request, method="GET")
            except PassingError as error:
                tries.failed(error)

    def _rest(self, download: _Download, limit: int) -> Iterator[bytes]:
        with self._ask(download.asking()) as answer:
            skipped = download.begin(answer)
            for piece in answer.content() if not download.is_whole else ():
                rest = piece[skipped:] if skipped else piece
                skipped -= len(piece) - len(rest)
                if rest:
                    # What is still within the limit is given first: the reader then says the same of a file that is
                    # too long, however much of it arrives at a time.
                    room = download.room(limit)
                    if len(rest) > room > 0:
                        yield rest[:room]
                    download.take(rest, limit)
                    yield rest
            download.end(skipped)


class _Download:
    """How far a file has come, and what it was when it began."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.given = 0
        self.is_whole = False
        self._has_begun = False
        self._length: int | None = None
        self._validator = ""
        self._is_encoded = False

    def asking(self) -> Request:
        """The request for what is left, where the server can tell that it is of the same file, else for all of it."""
        request = self.request
        if not self.given or not self._validator or self._is_encoded:
            return request
        headers = request.headers | {"Range": f"bytes={self.given}-", "If-Range": self._validator}
        return replace(request, headers=headers)

    def begin(self, answer: Answer) -> int:
        """Takes note of what ``answer`` is; says how many of its bytes came before."""
        if answer.is_absent:
            raise NotFound(f"{self.request.subject}: got HTTP {answer.status}, expected the file")
        if answer.status == 416:
            self._begin_behind(answer)
            return 0
        if answer.status == 206:
            self._begin_within(answer)
            return 0
        length = None if answer.codings else answer.length
        if not self._has_begun:
            self._has_begun = True
            self._is_encoded = bool(answer.codings)
            self._length = length
            etag, modified = answer.header("ETag"), answer.header("Last-Modified")
            self._validator = etag if _STRONG.fullmatch(etag) else modified if _DATE.fullmatch(modified) else ""
        elif None not in (length, self._length) and length != self._length:
            raise self._changed(f"{length} bytes", f"{self._length} as before")
        return self.given

    def room(self, limit: int) -> int:
        """Return how many more bytes ``limit`` allows; 0 for a file whose length is known to be too much."""
        return 0 if (self._length or 0) > limit else limit - self.given

    def take(self, piece: bytes, limit: int) -> None:
        """Takes note of ``piece``; raises `FormatError` where it is too much."""
        self.given += len(piece)
        if self.given > limit or (self._length or 0) > limit:
            size = max(self.given, self._length or 0)
            raise FormatError(f"{self.request.subject}: got {size} bytes, expected at most {limit}")

    def end(self, skipped: int) -> None:
        """Raises `PassingError` where more should have come, `IntegrityError` where less came than once before."""
        if skipped:
            raise self._changed(f"{self.given - skipped} bytes", f"the {self.given} of before")
        if self._length is not None and self.given != self._length:
            raise PassingError(f"the end of the answer at byte {self.given} of {self._length}")

    def _begin_within(self, answer: Answer) -> None:
        found = _RANGE.fullmatch(answer.header("Content-Range"))
        if found is None or int(found[1]) != self.given or answer.codings:
            self._validator = ""  # it is asked for no range again
            raise PassingError(f"another range than from byte {self.given}")
        total = None if found[3] == "*" else int(found[3])
        if None not in (total, self._length) and total != self._length:
            raise self._changed(f"{total} bytes", f"{self._length} as before")
        self._length = self._length or total

    def _begin_behind(self, answer: Answer) -> None:
        found = _UNSATISFIED.fullmatch(answer.header("Content-Range"))
        if found is None or int(found[1]) != self.given:
            raise self._changed("no bytes", f"those from {self.given} on")
        self.is_whole = True
        self._length = self.given

    def _changed(self, got: str, expected: str) -> IntegrityError:
        return IntegrityError(f"{self.request.subject}: got {got}, expected {expected}: it changed meanwhile")


def _bounded(pieces: Iterator[bytes], limit: int, subject: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise FormatError(f"{subject}: got more than {limit} bytes, expected at most that many")
        yield piece
