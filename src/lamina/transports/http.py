"""A binary cache on the web, for reading.

Invariant: what `HttpTransport.stream` gives are the bytes of one state of the file, each once and in order, however
often the connection was cut; credentials go to the host they are for and to no other.

RFC 9110, section 14, for ranges.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace

from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.transports.addresses import CacheUrl, Origin
from lamina.transports.answers import NOT_ALLOWED, REDIRECTS, Answer, Request
from lamina.transports.connections import Connections
from lamina.transports.patience import PATIENT, PassingError, Patience, Tries
from lamina.transports.surroundings import basic, credentials_for
from lamina.version import __version__

_MOST_REDIRECTS = 10
_STRONG = re.compile('"[!#-~]*"')
_DATE = re.compile("[ -~]{1,64}")
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


class HttpTransport:
    """Files below an http or https URL. Raises `InvalidName` for a URL or proxy that cannot be."""

    def __init__(self, url: str, patience: Patience = PATIENT) -> None:
        self._url = CacheUrl.parse(url)
        self._patience = patience
        self._connections = Connections(patience)
        credentials = self._url.credentials or credentials_for(self._url.origin.host)
        self._authorization = basic(*credentials) if credentials is not None else ""

    @property
    def where(self) -> str:
        """The URL without credentials."""
        return self._url.where

    def read(self, name: str, limit: int) -> bytes | None:
        """The whole file, None where it is absent.

        Raises `FormatError` above ``limit`` bytes and for a broken coding, `Unavailable`.
        """
        request = self._request("GET", name, {"Accept-Encoding": "zstd, br, gzip"})
        tries = Tries(self._patience, request.subject)
        while True:
            try:
                with self._answer(request) as answer:
                    return None if answer.is_absent else b"".join(_bounded(answer.content(), limit, request.subject))
            except PassingError as error:
                tries.failed(error)

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """The file in pieces of at most 256 KiB. Where the connection is cut, it goes on from there.

        A ``name`` with a slash in front is looked for below the server's root and then below the cache, because Nix
        has read it both ways. Raises `NotFound` where it is absent, `FormatError` as soon as there are more than
        ``limit`` bytes, or for a broken coding, `IntegrityError` where the file changed meanwhile, `Unavailable`.
        """
        request = self._request("GET", name, {"Accept-Encoding": "identity"})
        other = self._url.below_cache(name)
        if name.startswith("/") and other != request.url:
            try:
                yield from self._stream(request, limit)
            except NotFound:
                request = replace(request, url=other)
            else:
                return
        yield from self._stream(request, limit)

    def _stream(self, request: Request, limit: int) -> Iterator[bytes]:
        download = _Download(request)
        tries = Tries(self._patience, download.request.subject)
        while True:
            before = download.given
            try:
                yield from self._rest(download, limit)
            except PassingError as error:
                tries.failed(error, download.given - before)
            else:
                return

    def size(self, name: str) -> int | None:
        """How many bytes the file has, None where it is absent; raises `Unavailable`, also where nobody says."""
        request = self._request("HEAD", name, {"Accept-Encoding": "identity"})
        tries = Tries(self._patience, request.subject)
        while True:
            try:
                with self._answer(request) as answer:
                    if answer.status not in NOT_ALLOWED:
                        return None if answer.is_absent else answer.whole_length()
                request = self._request("GET", name, request.headers)
            except PassingError as error:
                tries.failed(error)

    def close(self) -> None:
        """Closes all connections."""
        self._connections.close()

    def _rest(self, download: _Download, limit: int) -> Iterator[bytes]:
        with self._answer(download.asking()) as answer:
            skipped = download.begin(answer)
            for piece in answer.content() if not download.is_whole else ():
                rest = piece[skipped:] if skipped else piece
                skipped -= len(piece) - len(rest)
                if rest:
                    download.take(rest, limit)
                    yield rest
            download.end(skipped)

    def _request(self, method: str, name: str, headers: dict[str, str]) -> Request:
        return Request(method, self._url.at(name), headers, self._url.shown(name))

    @contextlib.contextmanager
    def _answer(self, request: Request) -> Iterator[Answer]:
        """The answer to ``request``, wherever that leads; what is left of it when the block ends is dropped."""
        url = request.url
        for _ in range(_MOST_REDIRECTS + 1):
            headers = request.headers | {"User-Agent": f"lamina/{__version__}"}
            if self._authorization and Origin.of(url) == self._url.origin:
                headers["Authorization"] = self._authorization
            answer = Answer(
                self._connections.send(request.method, url, headers, request.subject), request, self._patience
            )
            with contextlib.closing(answer):
                if answer.status not in REDIRECTS:
                    answer.check()
                    yield answer
                    answer.drain()
                    return
                url = answer.target(url)
                answer.drain()
        raise Unavailable(f"{request.subject}: got more than {_MOST_REDIRECTS} redirects, expected the file")


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
        return Request(request.method, request.url, headers, request.subject)

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
