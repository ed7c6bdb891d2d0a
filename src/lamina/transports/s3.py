"""A binary cache in a bucket of S3, or of what speaks like it.

Invariant: nothing the library says is shown as it is, for it says more than anybody should read; under a name there is
the old object or the whole new one.

The URL is Nix's: ``s3://BUCKET/PREFIX?endpoint=…&region=…&scheme=http&profile=…`` (Nix manual, "S3
Binary Cache Store").
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qsl, unquote

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from lamina.errors import Error, FormatError, InvalidName, NotFound, OutputError, Unavailable, shown
from lamina.transports.addresses import SETTINGS, Origin, below, shown_url, split_url, without_credentials
from lamina.transports.patience import PATIENT, Pace, Patience, TooSlowError
from lamina.transports.profiles import Identity, identity
from lamina.transports.surroundings import bundle_named
from lamina.version import __version__

PIECE = 1 << 18
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_KNOWN = ("endpoint", "region", "scheme", "profile", "addressing-style")
_STYLES = ("auto", "path", "virtual")
# S3 takes ten thousand parts, and none but the last smaller than 5 MiB (S3 user guide, "Multipart upload limits").
_PART = 8 << 20
_MOST_PARTS = 9000
_AT_ONCE = 4
# A request's credentials should not be older.
_LONGEST_RETRY = 300.0
# The library has a bound for all of an answer, which fits no file that is large.
_FOR_ALL = timedelta(days=7)
_DEFAULT_REGION = "us-east-1"
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY hold credentials, or a profile with keys: s3://BUCKET?profile=NAME"
)
_REGION = "s3://BUCKET?region=REGION says where the bucket is"
# Said of a key that is absent too, to those who may not list the bucket (Nix source, S3BinaryCacheStore).
_HIDDEN = {"", "AccessDenied"}
_REFUSED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_TYPES = {
    ".narinfo": "text/x-nix-narinfo",
    ".ls": "application/json",
    "nix-cache-info": "text/x-nix-cache-info",
}
_TYPE_OF_NARS = "application/x-nix-nar"
_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """Where a cache is in a bucket. ``endpoint`` is ``""`` for Amazon's own."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    profile: str
    style: str

    @classmethod
    def parse(cls, url: str) -> BucketUrl:
        """Raises `InvalidName`."""
        parts = split_url(url)
        name = f"cache {shown_url(url)}"
        if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc):
            raise InvalidName(f"{name}: got no bucket, expected s3://BUCKET/PREFIX")
        prefix = unquote(parts.path).strip("/")
        if prefix:
            try:
                below(name, prefix)
            except FormatError as error:
                raise InvalidName(str(error)) from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for key in options:
            if key not in _KNOWN and key not in SETTINGS:
                raise InvalidName(f"{name}: got the setting {shown(key)}, expected one of {', '.join(_KNOWN)}")
        scheme, style = options.get("scheme", "https"), options.get("addressing-style", "auto")
        if scheme not in ("http", "https"):
            raise InvalidName(f"{name}: got the scheme {shown(scheme)}, expected http or https")
        if style not in _STYLES:
            raise InvalidName(f"{name}: got the addressing style {shown(style)}, expected {', '.join(_STYLES)}")
        region = options.get("region", "")
        endpoint = options.get("endpoint", "")
        if not endpoint and scheme == "http":
            endpoint = f"s3.{region or _DEFAULT_REGION}.amazonaws.com"
        if endpoint:
            endpoint = _endpoint(endpoint if "://" in endpoint else f"{scheme}://{endpoint}", name)
        return cls(parts.netloc, prefix, endpoint, region, options.get("profile", ""), style)

    @property
    def where(self) -> str:
        """As messages have it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def _endpoint(url: str, name: str) -> str:
    url = url.rstrip("/")
    try:
        Origin.of(url)
    except ValueError:
        raise InvalidName(
            f"{name}: got the endpoint {shown_url(url)}, expected HOST:PORT or http://HOST:PORT"
        ) from None
    if without_credentials(url) != url or shown_url(url) != url:
        raise InvalidName(f"{name}: got the endpoint {shown_url(url)} with more to it, expected http://HOST:PORT")
    return url


class S3Transport:
    """Objects below ``s3://BUCKET/PREFIX``. Raises `InvalidName` for a URL that cannot be, `Unavailable`.

    Credentials come from the profile that the URL names, else from the environment, else from the profile that is the
    default, else from the machine where that is Amazon's; where there are none nothing is signed.
    """

    def __init__(self, url: str, patience: Patience = PATIENT) -> None:
        self._url = BucketUrl.parse(url)
        self.where = self._url.where
        self._patience = patience
        who = identity(self._url.profile)
        self._endpoint = self._url.endpoint or (_endpoint(who.endpoint, f"cache {self.where}") if who.endpoint else "")
        try:
            self._store = _store(self._url, self._endpoint, who, patience)
        except (BaseError, ValueError):
            # What it says may have what stands in the environment.
            raise InvalidName(
                f"cache {self.where}: got settings that cannot be, expected those of S3",
                hint="look at the variables that begin with AWS_, and at the file that SSL_CERT_FILE names",
            ) from None

    def read(self, name: str, limit: int) -> bytes | None:
        """The whole object, None where it is absent; raises `FormatError` above ``limit`` bytes, `Unavailable`."""
        try:
            return b"".join(self.stream(name, limit))
        except NotFound:
            return None

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """The object in pieces. Where the connection is cut, it goes on from there.

        Raises `NotFound` where it is absent, `FormatError` as soon as there are more than ``limit`` bytes,
        `Unavailable`.
        """
        subject = f"{self.where}/{name}"
        with self._reading(subject):
            answer = obstore.get(self._store, self._key(name))
            size = answer.meta["size"]
            if size > limit:
                raise FormatError(f"{subject}: got {size} bytes, expected at most {limit}")
            pieces = iter(answer.stream(min_chunk_size=1))
        pace = Pace(self._patience)
        given = 0
        while True:
            start = self._patience.clock()
            with self._reading(subject):
                piece = bytes(next(pieces, b""))
                pace.came(len(piece), self._patience.clock() - start)
            if not piece:
                break
            given += len(piece)
            if given > limit:
                raise FormatError(f"{subject}: got more than {limit} bytes, expected at most that many")
            yield piece
        if given != size:
            raise Unavailable(f"{subject}: got {given} bytes, expected {size}")

    def size(self, name: str) -> int | None:
        """How many bytes the object has, None where it is absent; raises `Unavailable`."""
        try:
            with self._reading(f"{self.where}/{name}"):
                return int(obstore.head(self._store, self._key(name))["size"])
        except NotFound:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Makes ``name`` an object of ``data``; raises `OutputError`."""
        with self._writing(name):
            obstore.put(self._store, self._key(name), data, attributes=_attributes(name), use_multipart=False)

    def upload(self, name: str, file: Path) -> None:
        """Makes ``name`` a copy of ``file``; raises `Unavailable` where that cannot be read, `OutputError`."""
        try:
            with file.open("rb") as opened:
                size = opened.seek(0, 2)
        except OSError as error:
            raise Unavailable(f"{file}: got {error.strerror or error}, expected to read it") from error
        part = max(_PART, size // _MOST_PARTS)
        with self._writing(name):
            obstore.put(
                self._store,
                self._key(name),
                file,
                attributes=_attributes(name),
                chunk_size=part,
                max_concurrency=_AT_ONCE,
            )

    def close(self) -> None:
        """The library closes its connections when nobody has them any more."""

    def _key(self, name: str) -> str:
        key = below(self.where, name)
        return f"{self._url.prefix}/{key}" if self._url.prefix else key

    @contextlib.contextmanager
    def _reading(self, subject: str) -> Iterator[None]:
        try:
            yield
        except TooSlowError as error:
            raise Unavailable(f"{subject}: got {error}, expected the whole object") from error
        except (BaseError, FileNotFoundError, ValueError) as error:
            self._fail(subject, error)

    def _fail(self, subject: str, error: Exception) -> NoReturn:
        code = _code(error)
        is_hidden = isinstance(error, PermissionDeniedError) and code in _HIDDEN
        if code != "NoSuchBucket" and (is_hidden or isinstance(error, FileNotFoundError)):
            raise NotFound(f"{subject}: got {code or 'nothing'}, expected the object") from error
        raise self._translated(Unavailable, subject, error, "the object") from error

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(OutputError, f"{self.where}/{name}", error, "to write it") from error

    def _translated(self, kind: type[Error], subject: str, error: Exception, expected: str) -> Error:
        """The error of ``kind`` for one of the library's, of which only numbers and S3's own codes are shown."""
        if isinstance(error, ValueError):
            return FormatError(f"{self.where}: got the name {shown(subject)} for an object, expected another")
        text, code = str(error), _code(error)
        status = re.search(r"status code: (\d{3})", text)
        hint = ""
        if code == "NoSuchBucket":
            got = "no such bucket"
        elif status is not None:
            got = f"HTTP {status[1]} ({code})" if code else f"HTTP {status[1]}"
            if isinstance(error, PermissionDeniedError | UnauthenticatedError) or code in _REFUSED:
                hint = _CREDENTIALS
        elif "redirect without LOCATION" in text:
            got, hint = "a redirect to another region", _REGION
        elif re.search(r"kind: (Timeout|Interrupted)\b", text):
            got = f"no whole answer, with nothing for {self._patience.read:g} seconds or a cut"
        elif re.search(r"kind: Connect\b", text):
            got = f"no connection to {self._endpoint or 'Amazon'}"
        else:
            got = "an answer that was cut or is not S3's"
        return kind(f"{subject}: got {got}, expected {expected}", hint=hint)


def _code(error: Exception) -> str:
    found = re.search(r"<Code>(\w{1,40})</Code>", str(error))
    return found[1] if found else ""


def _attributes(name: str) -> dict[str, str]:
    fallback = _TYPE_OF_NARS if name.startswith("nar/") else _TYPE
    return {"Content-Type": next((kind for end, kind in _TYPES.items() if name.endswith(end)), fallback)}


def _store(url: BucketUrl, endpoint: str, who: Identity, patience: Patience) -> S3Store:
    options: dict[str, object] = {"region": url.region or who.region or _DEFAULT_REGION}
    is_virtual = url.style == "virtual" or (url.style == "auto" and not endpoint and "." not in url.bucket)
    options["virtual_hosted_style_request"] = is_virtual
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        options["endpoint"] = f"{scheme}://{url.bucket}.{host}" if is_virtual else endpoint
    if who.is_nobody:
        options["skip_signature"] = True
    client: dict[str, object] = {
        "allow_http": endpoint.startswith("http:"),
        "connect_timeout": timedelta(seconds=patience.connect),
        "read_timeout": timedelta(seconds=patience.read),
        "timeout": _FOR_ALL,
        "user_agent": f"lamina/{__version__}",
    }
    bundle = bundle_named()
    if bundle is not None and bundle.is_file():
        client["root_certificate"] = bundle.read_bytes()
    return S3Store(
        url.bucket,
        config=options,  # type: ignore[arg-type]
        client_options=client,  # type: ignore[arg-type]
        retry_config={
            "max_retries": patience.attempts - 1,
            "backoff": {
                "init_backoff": timedelta(seconds=patience.pause),
                "max_backoff": timedelta(seconds=max(patience.longest, patience.pause)),
                "base": 2,
            },
            "retry_timeout": timedelta(seconds=_LONGEST_RETRY),
        },
        credential_provider=who.provider(),
    )
