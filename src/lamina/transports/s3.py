"""Read and write a binary cache in a bucket of S3, or of a server with the same protocol.

Redirects are not followed, because the headers of requests contain secrets that only the bucket's own server may get.
An object is replaced atomically: readers see the old object or the complete new one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

from lamina.errors import Error, FormatError, OutputError, Unavailable
from lamina.system.threads import ThreadPool
from lamina.transports.aws import AwsSession
from lamina.transports.connections import Connections
from lamina.transports.downloads import Downloader
from lamina.transports.files import read_pieces
from lamina.transports.responses import METHOD_UNSUPPORTED, REDIRECTS, Request, Response
from lamina.transports.retry import RetryPolicy, RetryState, TransientError
from lamina.transports.s3_urls import BucketUrl, check_endpoint
from lamina.transports.urls import redact_url
from lamina.version import __version__

# S3 accepts at most ten thousand parts, of which only the last may be smaller than 5 MiB (S3 user guide, "Multipart
# upload limits").
_PART_SIZE = 8 << 20
_MAX_PARTS = 9000
_PARALLEL_PARTS = 4
_MAX_DOCUMENT = 1 << 16
_CREDENTIALS_HINT = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with profile=NAME in the URL's query"
)
# S3 also responds with these codes if an object is absent and the client may not list the bucket (Nix source,
# S3BinaryCacheStore).
_HIDDEN_CODES = {"", "AccessDenied"}
_REFUSED_CODES = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_TRANSIENT_CODES = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"}
# A conditional request is refused with the second one, or the first one while another one writes the object.
_EXISTS = {409, 412}
_READING, _WRITING = "the object", "to write the object"
_TYPES = {
    ".narinfo": "text/x-nix-narinfo",
    ".ls": "application/json",
    "nix-cache-info": "text/x-nix-cache-info",
}
_NAR_TYPE = "application/x-nix-nar"
_DEFAULT_TYPE = "application/octet-stream"


class _ExistsError(Exception):
    """The object exists."""


class S3Transport:
    """Objects below ``s3://BUCKET/PREFIX``.

    Credentials come from the profile that the URL names, else from the environment, else from the default profile, else
    from the metadata service of an EC2 instance. Without credentials, requests are not signed.

    Raises:
        InvalidArgument: the URL is invalid, or its profile does not exist.
        Unavailable: AWS's configuration cannot be read.

    """

    def __init__(self, url: str, policy: RetryPolicy) -> None:
        self._url = BucketUrl.parse(url)
        self.label: str = self._url.label
        self._policy = policy
        self._aws = AwsSession(self._url.profile, self._url.region, policy)
        endpoint = self._url.endpoint
        if not endpoint and self._aws.endpoint:
            endpoint = check_endpoint(self._aws.endpoint, f"cache {self.label}")
        self._root = self._url.build_root_url(endpoint, self._aws.region)
        self._connections = Connections(policy)
        self._downloader = Downloader(self._open, policy)

    def read(self, name: str, limit: int) -> bytes | None:
        """Read the whole object, or return None if it is absent. Raises what `Downloader.read` raises."""
        return self._downloader.read(self._make_request("GET", name), limit)

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """Yield the object in pieces. Raises what `Downloader.stream` raises."""
        yield from self._downloader.stream(self._make_request("GET", name), limit)

    def size(self, name: str) -> int | None:
        """Return the object's size in bytes, or None if it is absent. Raises `Unavailable`."""
        return self._downloader.size(self._make_request("HEAD", name))

    def write(self, name: str, data: bytes) -> None:
        """Write ``data`` to the object ``name``. Raises `OutputError`."""
        self._put(self._make_request("PUT", name, {"Content-Type": _choose_content_type(name)}, data))

    def create(self, name: str, data: bytes) -> bool:
        """Write ``data`` to the object ``name`` unless it exists, and return whether it was written.

        A server that does not know the condition (S3 user guide, "How to prevent object overwrites with conditional
        writes") replaces the object, or refuses the request. Raises `OutputError`.
        """
        headers = {"Content-Type": _choose_content_type(name), "If-None-Match": "*"}
        try:
            self._put(self._make_request("PUT", name, headers, data))
        except _ExistsError:
            return False
        return True

    def upload(self, name: str, file: Path) -> None:
        """Copy ``file`` to the object ``name``, in several parts if it is large.

        Raises `Unavailable` if ``file`` cannot be read, and `OutputError` if the object cannot be written.
        """
        part_size = _choose_part_size(file)
        pieces = read_pieces(file, part_size)
        first = next(pieces, b"")
        second = next(pieces, b"") if len(first) == part_size else b""
        if second:
            self._upload_parts(name, chain((first, second), pieces))
        else:
            self.write(name, first)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    # --- requests

    def _make_request(
        self, method: str, name: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Request:
        headers = {"Accept-Encoding": "identity", **(headers or {})}
        return Request(method, f"{self._root}/{self._url.build_key(name)}", headers, f"{self.label}/{name}", body)

    def _send(self, request: Request) -> Response:
        headers = self._aws.sign(request.method, request.url, request.headers, request.body)
        headers["User-Agent"] = f"lamina/{__version__}"
        sent = self._connections.send(request.method, request.url, headers, request.subject, request.body)
        return Response(sent, request, self._policy)

    @contextlib.contextmanager
    def _open(self, request: Request) -> Iterator[Response]:
        """Send a request that reads, and open the response for the block."""
        with contextlib.closing(self._send(request)) as response:
            is_ranged = response.status in (206, 416) and "Range" in request.headers
            is_unknown = response.status in METHOD_UNSUPPORTED and request.method == "HEAD"
            if response.status != 200 and not is_ranged and not is_unknown:
                code = _read_error_code(response)
                is_hidden = response.status == 403 and code in _HIDDEN_CODES
                if not is_hidden and (response.status != 404 or code == "NoSuchBucket"):
                    raise self._status_error(response, code, Unavailable, _READING)
            yield response
            response.drain()

    def _put(self, request: Request) -> tuple[str, bytes]:
        """Send a request that writes until it succeeds, and return the ETag and the document of the response.

        Raises `OutputError`, and `_ExistsError` if the condition of the request is that the object does not exist.
        """
        retries = RetryState(self._policy, request.subject, _WRITING, OutputError)
        while True:
            try:
                with contextlib.closing(self._send(request)) as response:
                    document = _read_document(response)
                    code = _parse_error_code(document)
                    if response.status in _EXISTS and "If-None-Match" in request.headers:
                        raise _ExistsError
                    if not 200 <= response.status < 300 or code:
                        raise self._status_error(response, code, OutputError, _WRITING)
                    return response.header("ETag"), document
            except TransientError as error:
                retries.retry(error)
            except Unavailable as error:
                raise error.convert(OutputError) from None

    def _status_error(self, response: Response, code: str, kind: type[Error], expected: str) -> Error | TransientError:
        """Return the error for a response. Its message contains only the status and S3's error code."""
        status, subject = response.status, response.subject
        got = f"HTTP {status} ({code})" if code else f"HTTP {status}"
        if code == "NoSuchBucket":
            return kind(subject, "no such bucket", expected)
        if status in REDIRECTS:
            region = response.header("x-amz-bucket-region")
            named = region if re.fullmatch("[a-z0-9-]{1,32}", region) else "REGION"
            location = response.header("Location")
            got = f"a redirect to {redact_url(location)}" if location else "a redirect to another region"
            return kind(subject, got, expected, hint=f"add the bucket's region to the URL's query: region={named}")
        if response.is_transient or code in _TRANSIENT_CODES:
            return TransientError(got, response.retry_after)
        is_refused = status in (401, 403) or code in _REFUSED_CODES
        return kind(subject, got, expected, hint=_CREDENTIALS_HINT if is_refused else "")

    # --- large objects

    def _upload_parts(self, name: str, pieces: Iterator[bytes]) -> None:
        """Send a large object in parts (S3 user guide, "Uploading and copying objects using multipart upload")."""
        request = self._make_request("POST", name, {"Content-Type": _choose_content_type(name)})
        _, document = self._put(replace(request, url=f"{request.url}?uploads="))
        match = re.search(rb"<UploadId>([^<]{1,2000})</UploadId>", document)
        if not match:
            raise OutputError(request.subject, "no UploadId", _WRITING)
        query = f"uploadId={quote(match[1].decode('utf-8', 'replace'), safe='-_.~')}"
        try:
            etags = self._send_parts(replace(request, method="PUT", headers={}), query, pieces)
            parts = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
                for number, etag in enumerate(etags, 1)
            )
            body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
            self._put(replace(request, url=f"{request.url}?{query}", headers={"Content-Type": "text/xml"}, body=body))
        except BaseException:
            with contextlib.suppress(Error, TransientError):  # S3 stores and charges for parts until they are removed
                self._send(replace(request, method="DELETE", url=f"{request.url}?{query}", headers={})).close()
            raise

    def _send_parts(self, part: Request, query: str, pieces: Iterator[bytes]) -> list[str]:
        """Send ``pieces`` as parts, several at a time, and return their ETags in order."""
        etags: list[str] = []
        with ThreadPool(_PARALLEL_PARTS, "lamina-s3") as pool:
            pending = []
            for number, piece in enumerate(pieces, 1):
                request = replace(part, url=f"{part.url}?partNumber={number}&{query}", body=piece)
                pending.append(pool.submit(partial(self._put, request)))
                if len(pending) >= _PARALLEL_PARTS:
                    etags.append(pending.pop(0).result()[0])
            etags += [future.result()[0] for future in pending]
        return etags


def _choose_part_size(file: Path) -> int:
    try:
        return max(_PART_SIZE, file.stat().st_size // _MAX_PARTS)
    except OSError as error:
        raise Unavailable(file, error, "a readable file") from error


def _read_document(response: Response) -> bytes:
    """Return the beginning of the response's content, slightly more than `_MAX_DOCUMENT` bytes at most."""
    document = bytearray()
    for piece in response.content():
        document += piece
        if len(document) > _MAX_DOCUMENT:
            break
    return bytes(document)


def _read_error_code(response: Response) -> str:
    """Return S3's code from the document of an error, or ``""``."""
    try:
        return _parse_error_code(_read_document(response))
    except (TransientError, FormatError, Unavailable):
        return ""


def _parse_error_code(document: bytes) -> str:
    match = re.search(rb"<Error>.{0,200}?<Code>(\w{1,40})</Code>", document, re.DOTALL)
    return match[1].decode() if match else ""


def _choose_content_type(name: str) -> str:
    fallback = _NAR_TYPE if name.startswith("nar/") else _DEFAULT_TYPE
    return next((media_type for suffix, media_type in _TYPES.items() if name.endswith(suffix)), fallback)
