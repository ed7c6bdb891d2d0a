"""A binary cache in a bucket of S3, or of what speaks like it.

Invariant: a request goes to the bucket's own server and nowhere else, because its headers hold secrets; under a name
there is the old object or the whole new one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

from lamina.errors import Error, FormatError, OutputError, Unavailable
from lamina.transports.aws import AwsSession
from lamina.transports.connections import Connections
from lamina.transports.downloads import Downloader
from lamina.transports.responses import METHOD_UNSUPPORTED, REDIRECTS, Request, Response
from lamina.transports.retry import DEFAULT_POLICY, RetryPolicy, RetryState, TransientError
from lamina.transports.s3_urls import BucketUrl, check_endpoint
from lamina.transports.urls import redact_url
from lamina.version import __version__

# S3 takes ten thousand parts, and none but the last smaller than 5 MiB (S3 user guide, "Multipart upload limits").
_PART = 8 << 20
_MAX_PARTS = 9000
_PARALLEL_PARTS = 4
_MAX_DOCUMENT = 1 << 16
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY hold keys; profile=NAME in the URL's query names a profile"
# Said of a key that is absent too, to those who may not list the bucket (Nix source, S3BinaryCacheStore).
_HIDDEN = {"", "AccessDenied"}
_REFUSED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_TRANSIENT = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"}
_READING, _WRITING = "the object", "to write it"
_TYPES = {
    ".narinfo": "text/x-nix-narinfo",
    ".ls": "application/json",
    "nix-cache-info": "text/x-nix-cache-info",
}
_NAR_TYPE = "application/x-nix-nar"
_DEFAULT_TYPE = "application/octet-stream"


class S3Transport:
    """Objects below ``s3://BUCKET/PREFIX``. Raises `InvalidArgument` for a URL that cannot be, `Unavailable`.

    Credentials come from the profile that the URL names, else from the environment, else from the profile that is the
    default, else from the machine where that is Amazon's; where there are none nothing is signed.
    """

    def __init__(self, url: str, policy: RetryPolicy = DEFAULT_POLICY) -> None:
        self._url = BucketUrl.parse(url)
        self.label = self._url.label
        self._policy = policy
        self._aws = AwsSession(self._url.profile, self._url.region, policy)
        endpoint = self._url.endpoint
        if not endpoint and self._aws.endpoint:
            endpoint = check_endpoint(self._aws.endpoint, f"cache {self.label}")
        self._root = self._url.root(endpoint, self._aws.region)
        self._connections = Connections(policy)
        self._downloader = Downloader(self._open, policy)

    def read(self, name: str, limit: int) -> bytes | None:
        """The whole object, None where it is absent; raises `FormatError` above ``limit`` bytes, `Unavailable`."""
        return self._downloader.read(self._make_request("GET", name), limit)

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """The object in pieces. Where the connection is cut, it goes on from there.

        Raises `NotFound` where it is absent, `FormatError` as soon as there are more than ``limit`` bytes,
        `IntegrityError` where it changed meanwhile, `Unavailable`.
        """
        yield from self._downloader.stream(self._make_request("GET", name), limit)

    def size(self, name: str) -> int | None:
        """How many bytes the object has, None where it is absent; raises `Unavailable`."""
        return self._downloader.size(self._make_request("HEAD", name))

    def write(self, name: str, data: bytes) -> None:
        """Makes ``name`` an object of ``data``; raises `OutputError`."""
        self._put(self._make_request("PUT", name, {"Content-Type": _content_type(name)}, data))

    def upload(self, name: str, file: Path) -> None:
        """Makes ``name`` a copy of ``file``; raises `Unavailable` where that cannot be read, `OutputError`."""
        part = _part_size(file)
        pieces = _pieces(file, part)
        first = next(pieces, b"")
        second = next(pieces, b"") if len(first) == part else b""
        if second:
            self._upload_parts(name, _chain(first, second, pieces))
        else:
            self.write(name, first)

    def close(self) -> None:
        """Closes all connections."""
        self._connections.close()

    # --- requests

    def _make_request(
        self, method: str, name: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Request:
        headers = {"Accept-Encoding": "identity", **(headers or {})}
        return Request(method, f"{self._root}/{self._url.key(name)}", headers, f"{self.label}/{name}", body)

    def _send(self, request: Request) -> Response:
        headers = self._aws.sign(request.method, request.url, request.headers, request.body)
        headers["User-Agent"] = f"lamina/{__version__}"
        sent = self._connections.send(request.method, request.url, headers, request.subject, request.body)
        return Response(sent, request, self._policy)

    @contextlib.contextmanager
    def _open(self, request: Request) -> Iterator[Response]:
        """The answer to a request that reads."""
        with contextlib.closing(self._send(request)) as response:
            is_ranged = response.status in (206, 416) and "Range" in request.headers
            is_unknown = response.status in METHOD_UNSUPPORTED and request.method == "HEAD"
            if response.status != 200 and not is_ranged and not is_unknown:
                code = _read_error_code(response)
                is_hidden = response.status == 403 and code in _HIDDEN
                if not is_hidden and (response.status != 404 or code == "NoSuchBucket"):
                    raise self._status_error(response, code, Unavailable, _READING)
            yield response
            response.drain()

    def _put(self, request: Request) -> tuple[str, bytes]:
        """Send a request that writes, until it succeeds; give the ETag and what the server said.

        Raises `OutputError`.
        """
        tries = RetryState(self._policy, request.subject, _WRITING, OutputError)
        while True:
            try:
                with contextlib.closing(self._send(request)) as response:
                    said = _read_document(response)
                    code = _parse_error_code(said)
                    if not 200 <= response.status < 300 or code:
                        raise self._status_error(response, code, OutputError, _WRITING)
                    return response.header("ETag"), said
            except TransientError as error:
                tries.retry(error)
            except Unavailable as error:
                raise OutputError(str(error), hint=error.hint) from None

    def _status_error(self, response: Response, code: str, kind: type[Error], expected: str) -> Error | TransientError:
        """The error for an answer, of which only the status and S3's own code are shown."""
        status, subject = response.status, response.subject
        got = f"HTTP {status} ({code})" if code else f"HTTP {status}"
        if code == "NoSuchBucket":
            return kind(f"{subject}: got no such bucket, expected {expected}")
        if status in REDIRECTS:
            region = response.header("x-amz-bucket-region")
            named = region if re.fullmatch("[a-z0-9-]{1,32}", region) else "REGION"
            location = response.header("Location")
            got = f"a redirect to {redact_url(location)}" if location else "a redirect to another region"
            return kind(
                f"{subject}: got {got}, expected {expected}",
                hint=f"the URL says where the bucket is: region={named} in its query",
            )
        if response.is_transient or code in _TRANSIENT:
            return TransientError(got, response.retry_after)
        is_refused = status in (401, 403) or code in _REFUSED
        return kind(f"{subject}: got {got}, expected {expected}", hint=_CREDENTIALS if is_refused else "")

    # --- large objects

    def _upload_parts(self, name: str, pieces: Iterator[bytes]) -> None:
        """Send a large object in parts (S3 user guide, "Uploading and copying objects using multipart upload")."""
        whole = self._make_request("POST", name, {"Content-Type": _content_type(name)})
        _, said = self._put(replace(whole, url=f"{whole.url}?uploads="))
        found = re.search(rb"<UploadId>([^<]{1,2000})</UploadId>", said)
        if not found:
            raise OutputError(f"{whole.subject}: got no UploadId, expected to write it")
        query = f"uploadId={_quote(found[1].decode('utf-8', 'replace'))}"
        try:
            etags = self._send_parts(replace(whole, method="PUT", headers={}), query, pieces)
            parts = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
                for number, etag in enumerate(etags, 1)
            )
            body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
            self._put(replace(whole, url=f"{whole.url}?{query}", headers={"Content-Type": "text/xml"}, body=body))
        except BaseException:
            with contextlib.suppress(Error, TransientError):  # what was sent would be paid for until somebody looks
                self._send(replace(whole, method="DELETE", url=f"{whole.url}?{query}", headers={})).close()
            raise

    def _send_parts(self, part: Request, query: str, pieces: Iterator[bytes]) -> list[str]:
        """Send parts, several at a time, and give their ETags in order."""
        etags: list[str] = []
        with ThreadPoolExecutor(_PARALLEL_PARTS, "lamina-s3") as pool:
            waiting = []
            for number, piece in enumerate(pieces, 1):
                request = replace(part, url=f"{part.url}?partNumber={number}&{query}", body=piece)
                waiting.append(pool.submit(self._put, request))
                if len(waiting) >= _PARALLEL_PARTS:
                    etags.append(waiting.pop(0).result()[0])
            etags += [future.result()[0] for future in waiting]
        return etags


def _part_size(file: Path) -> int:
    try:
        return max(_PART, file.stat().st_size // _MAX_PARTS)
    except OSError as error:
        raise Unavailable(f"{file}: got {error.strerror or error}, expected to read it") from error


def _pieces(file: Path, size: int) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            while piece := opened.read(size):
                yield piece
    except OSError as error:
        raise Unavailable(f"{file}: got {error.strerror or error}, expected to read it") from error


def _chain(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _quote(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="-_.~")


def _read_document(response: Response) -> bytes:
    """The content of an answer that is a document, as far as it is needed."""
    said = bytearray()
    for piece in response.content():
        said += piece
        if len(said) > _MAX_DOCUMENT:
            break
    return bytes(said)


def _read_error_code(response: Response) -> str:
    """S3's own code in an error's document, or nothing."""
    try:
        return _parse_error_code(_read_document(response))
    except (TransientError, FormatError, Unavailable):
        return ""


def _parse_error_code(said: bytes) -> str:
    found = re.search(rb"<Error>.{0,200}?<Code>(\w{1,40})</Code>", said, re.DOTALL)
    return found[1].decode() if found else ""


def _content_type(name: str) -> str:
    fallback = _NAR_TYPE if name.startswith("nar/") else _DEFAULT_TYPE
    return next((kind for end, kind in _TYPES.items() if name.endswith(end)), fallback)
