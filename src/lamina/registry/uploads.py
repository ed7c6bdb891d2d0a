"""Upload blobs (OCI distribution-spec 1.1, "Pushing blobs").

A blob whose digest and size are known is sent with one PUT. A registry that states a minimum length of chunks, or
refuses the PUT, gets it in chunks with PATCH. A failed upload is repeated: a registry that kept some of the chunks gets
the rest, and a session that has vanished is replaced.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from lamina.core.names import Digest
from lamina.errors import AuthError, IntegrityError, RegistryError
from lamina.registry.blobs import find_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.requests import EMPTY_BODY, RegistryRequest, RegistryResponse, RequestBody
from lamina.transports.retry import TransientError

# GitHub's registry takes at most 4 MiB in a chunk.
_CHUNK_SIZE = 4 << 20
_MAX_CHUNK_SIZE = 1 << 30
# Statuses of registries that take a blob only in chunks, or not as much at once.
_WANTS_CHUNKS = {405, 411, 413, 415, 501}
COMMIT_TIMEOUT = 300.0
"""How long a registry may take, in seconds, to store a large blob, or to check all that a manifest refers to."""
_HEADERS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class BlobContent:
    """A blob that can be sent.

    Attributes:
        digest: the digest of its bytes.
        size: their number.
        open: yields the bytes from an offset on. It may be called several times.
    """

    digest: Digest
    size: int
    open: Callable[[int], Iterable[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class UploadSession:
    """An upload that a registry has begun.

    Attributes:
        location: the URL of the next request. It may contain a secret.
        min_chunk: the smallest size of a chunk that is not the last, or 0 if the registry does not state one.
    """

    location: str = field(repr=False)
    min_chunk: int = 0

    @classmethod
    def of(cls, response: RegistryResponse, min_chunk: int = 0) -> UploadSession:
        """Return the session that ``response`` describes. Raises `RegistryError`."""
        text = response.header("OCI-Chunk-Min-Length")
        size = int(text) if re.fullmatch("[0-9]{1,18}", text) else min_chunk
        if size > _MAX_CHUNK_SIZE:
            subject = response.response.subject
            raise RegistryError(subject, f"chunks of at least {size} bytes", f"at most {_MAX_CHUNK_SIZE}")
        return cls(response.resolve_location(), size)


def start_session(connection: RegistryConnection, digest: Digest) -> UploadSession:
    """Begin an upload of the blob with ``digest``. Raises `RegistryError` and `AuthError`."""
    request = RegistryRequest(
        "POST", f"/v2/{connection.repository}/blobs/uploads/", _subject(connection, digest), connection.scopes
    )

    def read(response: RegistryResponse) -> UploadSession:
        if response.status != 202:
            raise connection.make_error(response, "an upload to begin")
        return UploadSession.of(response)

    return connection.perform(request, read)


def mount_blob(connection: RegistryConnection, digest: Digest, source: str) -> UploadSession | None:
    """Mount the blob with ``digest`` from the repository ``source`` of the same registry.

    A mount that is not possible may cost several requests, so a caller should not try ``source`` again after one.

    Returns:
        None if the blob is mounted, else the session with which the blob can be uploaded: the registry cannot mount it,
        or ``source`` lacks it or may not be read.

    Raises:
        RegistryError: the registry failed.
        AuthError: it refuses an upload without a mount too.

    """
    query = urlencode({"mount": str(digest), "from": source}, safe=":/")
    request = RegistryRequest(
        "POST",
        f"/v2/{connection.repository}/blobs/uploads/?{query}",
        f"blob {digest} of {connection.name}",
        (*connection.scopes, f"repository:{source}:pull"),
    )

    def read(response: RegistryResponse) -> UploadSession | None:
        if response.status == 201:
            return None
        if response.status == 202:
            return UploadSession.of(response)
        # Some registries refuse a mount that they cannot do (distribution-spec 1.1, "Mounting a blob from another
        # repository", demands 202).
        if response.status in (400, 404, 405, 415, 416):
            return start_session(connection, digest)
        raise connection.make_error(response, "to mount the blob")

    try:
        return connection.perform(request, read)
    except AuthError:  # the source may be forbidden, and then some token servers refuse the whole token
        return start_session(connection, digest)


def upload_blob(connection: RegistryConnection, blob: BlobContent, session: UploadSession | None = None) -> None:
    """Send ``blob``, in ``session`` if there is one already.

    Raises:
        RegistryError: the registry refuses the blob or failed several times.
        AuthError: the registry refuses the credentials, or wants some.
        IntegrityError: the registry received other bytes than the digest is for, or ``blob`` has another size.
        Error: what ``blob.open`` raises.

    """
    upload = _Upload(connection, blob)
    retries = connection.count_retries(upload.subject)
    while True:
        before = upload.received
        try:
            upload.send(session or start_session(connection, blob.digest))
        except TransientError as error:
            retries.retry(error, upload.received - before)
        else:
            return
        session = upload.find_rest()
        if session is None and find_blob(connection, blob.digest):  # it was stored, and only the answer is missing
            return


class _Upload:
    """One upload, over all its attempts. ``received`` is how many bytes the registry has, as far as is known."""

    def __init__(self, connection: RegistryConnection, blob: BlobContent) -> None:
        self._connection = connection
        self._blob = blob
        self._is_chunked = False
        self._session: UploadSession | None = None
        self.subject = _subject(connection, blob.digest)
        self.received = 0

    def send(self, session: UploadSession) -> None:
        """Send what the registry does not have yet. Raises `TransientError` if the upload can be repeated."""
        if not self._is_chunked and not 0 < session.min_chunk < self._blob.size:
            if self._put(session, self._make_body(0, self._blob.size)):
                return
            session = start_session(self._connection, self._blob.digest)
        self._is_chunked = True
        self._session = session
        while self.received < self._blob.size:
            self._session = self._send_chunk(self._session)
        self._put(self._session, EMPTY_BODY)

    def find_rest(self) -> UploadSession | None:
        """Ask the registry how much of the upload it has.

        Return the session that continues it, or None if the upload has to begin again.
        """
        session, self._session, self.received = self._session, None, 0
        if session is None:
            return None
        with contextlib.suppress(TransientError), self._open("GET", session.location, {}, EMPTY_BODY) as response:
            end = _parse_range(response)
            if response.status == 204 and end is not None and end <= self._blob.size:
                self.received = end
                return UploadSession.of(response, session.min_chunk)
        return None

    def _put(self, session: UploadSession, body: RequestBody) -> bool:
        """Finish the upload with ``body``; return False if the registry wants chunks instead."""
        separator = "&" if "?" in session.location else "?"
        url = f"{session.location}{separator}digest={self._blob.digest}"
        with self._open("PUT", url, _HEADERS, body) as response:
            if body.size and (response.status in _WANTS_CHUNKS or _is_vague_refusal(response)):
                return False
            self._check_vanished(response)
            if response.status == 416:
                raise TransientError("HTTP 416 for the end of the upload")
            if response.status == 400 and response.error_code in ("DIGEST_INVALID", "SIZE_INVALID"):
                damaged = self._connection.make_error(response, "the bytes of the blob").convert(IntegrityError)
                damaged.is_transient = True
                raise damaged
            if response.status not in (201, 204):
                raise self._connection.make_error(response, "the blob to be stored")
            check_digest(response, self._blob.digest)
            self.received = self._blob.size
            return True

    def _send_chunk(self, session: UploadSession) -> UploadSession:
        """Send the next chunk, and return the session for the one after it."""
        start = self.received
        size = min(max(session.min_chunk, _CHUNK_SIZE), self._blob.size - start)
        headers = _HEADERS | {"Content-Range": f"{start}-{start + size - 1}"}
        with self._open("PATCH", session.location, headers, self._make_body(start, size)) as response:
            if response.status == 416:
                raise TransientError(f"HTTP 416 for the chunk at byte {start}")
            self._check_vanished(response)
            if response.status not in (202, 204):
                raise self._connection.make_error(response, "the chunk to be stored")
            end = _parse_range(response)
            end = end or start + size
            if not start < end <= start + size:
                raise TransientError(f"{end} bytes after the chunk at byte {start}")
            self.received = end
            return UploadSession.of(response, session.min_chunk)

    def _check_vanished(self, response: RegistryResponse) -> None:
        if response.status == 404 and response.error_code in ("", "BLOB_UPLOAD_UNKNOWN"):
            raise TransientError("an upload session that vanished")

    def _open(
        self, method: str, url: str, headers: dict[str, str], body: RequestBody
    ) -> contextlib.AbstractContextManager[RegistryResponse]:
        timeout = COMMIT_TIMEOUT if method == "PUT" else 0.0
        scopes = self._connection.scopes
        request = RegistryRequest(method, url, self.subject, scopes, headers, body, timeout)
        return self._connection.open(request)

    def _make_body(self, start: int, size: int) -> RequestBody:
        return RequestBody(size, lambda: self._read(start, size))

    def _read(self, start: int, size: int) -> Iterator[bytes]:
        """Yield exactly ``size`` bytes of the blob. Raises `IntegrityError` if it has fewer.

        A source that compares its digest does so after its last piece. So the end of the blob is only sent when the
        source has ended too, and a registry never gets all of a wrong blob.
        """
        remaining = size
        pieces = iter(self._blob.open(start))
        try:
            while remaining:
                piece = next(pieces, b"")[:remaining]
                if not piece:
                    expected = f"{self._blob.size} bytes"
                    raise IntegrityError(self.subject, f"{self._blob.size - remaining} bytes to send", expected)
                remaining -= len(piece)
                if not remaining and start + size == self._blob.size:
                    next(pieces, b"")
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()


def _is_vague_refusal(response: RegistryResponse) -> bool:
    """Return whether a registry refuses a PUT without a reason that chunks could not remove."""
    return response.status == 400 and response.error_code in ("", "BLOB_UPLOAD_INVALID", "UNSUPPORTED")


def check_digest(response: RegistryResponse, digest: Digest) -> None:
    """Raise `IntegrityError` if the registry states another digest for what it received than ``digest``."""
    stated = response.header("Docker-Content-Digest")
    if stated and stated != str(digest):
        raise IntegrityError(response.response.subject, f"the digest {stated} from the registry", digest)


def _parse_range(response: RegistryResponse) -> int | None:
    """Return how many bytes the registry has, from a header ``Range: 0-N``; None if there is no such header.

    ``0-0`` is ambiguous: some registries mean no byte by it, so it counts as none.
    """
    found = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", response.header("Range"))
    if found is None:
        return None
    return int(found[1]) + 1 if int(found[1]) else 0


def _subject(connection: RegistryConnection, digest: Digest) -> str:
    return f"blob {digest} of {connection.name}"
