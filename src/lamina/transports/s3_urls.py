"""Parse the URL of a cache in an S3 bucket, and build the URLs of its objects.

The form of the URL is Nix's: ``s3://BUCKET/PREFIX?endpoint=…&region=…&scheme=http&profile=…`` (Nix manual, "S3 Binary
Cache Store").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

from lamina.errors import FormatError, InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.transports.urls import SETTINGS, Origin, check_file_name, redact_url, split_url, strip_credentials

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_KNOWN_SETTINGS = ("endpoint", "region", "scheme", "profile", "addressing-style")
_STYLES = ("auto", "path", "virtual")
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """The location of a cache in a bucket.

    ``endpoint`` is ``""`` for Amazon's own endpoint. ``style`` says whether the bucket's name is in the URL's path or
    in its host name: ``path``, ``virtual`` or ``auto``.
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str
    profile: str
    style: str

    @classmethod
    def parse(cls, url: str) -> BucketUrl:
        """Parse an ``s3://`` URL. Raises `InvalidArgument`."""
        parts = split_url(url)
        name = f"cache {redact_url(url)}"
        if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc):
            raise InvalidArgument(name, "no bucket", "s3://BUCKET/PREFIX")
        prefix = unquote(parts.path).strip("/")
        if prefix:
            try:
                check_file_name(name, prefix)
            except FormatError as error:
                raise error.convert(InvalidArgument) from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for key in options:
            if key not in _KNOWN_SETTINGS and key not in SETTINGS:
                raise InvalidArgument(name, f"the setting {short_repr(key)}", f"one of {', '.join(_KNOWN_SETTINGS)}")
        scheme, style = options.get("scheme", "https"), options.get("addressing-style", "auto")
        if scheme not in ("http", "https"):
            raise InvalidArgument(name, f"the scheme {short_repr(scheme)}", "http or https")
        if style not in _STYLES:
            raise InvalidArgument(name, f"the addressing style {short_repr(style)}", ", ".join(_STYLES))
        region = options.get("region", "")
        endpoint = options.get("endpoint", "")
        if not endpoint and scheme == "http":
            endpoint = f"s3.{region or DEFAULT_REGION}.amazonaws.com"
        if endpoint:
            endpoint = check_endpoint(endpoint if "://" in endpoint else f"{scheme}://{endpoint}", name)
        return cls(parts.netloc, prefix, endpoint, region, options.get("profile", ""), style)

    @property
    def label(self) -> str:
        """The URL without its query, for messages."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def build_root_url(self, endpoint: str, region: str) -> str:
        """Return the URL to which the bucket's keys are appended. An empty ``endpoint`` means Amazon's own."""
        is_virtual = self.style == "virtual" or (self.style == "auto" and not endpoint and "." not in self.bucket)
        ending = ".cn" if region.startswith("cn-") else ""
        scheme, _, host = (endpoint or f"https://s3.{region}.amazonaws.com{ending}").partition("://")
        return f"{scheme}://{self.bucket}.{host}" if is_virtual else f"{scheme}://{host}/{self.bucket}"

    def build_key(self, name: str) -> str:
        """Return the key of the file ``name``, percent-encoded. Raises `FormatError` if it leads out of the prefix."""
        key = check_file_name(self.label, name)
        try:
            return quote(f"{self.prefix}/{key}" if self.prefix else key, safe="/-_.~")
        except UnicodeEncodeError:
            raise FormatError(self.label, f"the name {short_repr(name)} for an object", "UTF-8") from None


def check_endpoint(url: str, name: str) -> str:
    """Return the endpoint ``url`` without a trailing slash.

    Raises `InvalidArgument`, whose message names ``name``, if it is not just a scheme, host and port.
    """
    url = url.rstrip("/")
    try:
        Origin.of(url)
    except InvalidArgument:
        raise InvalidArgument(name, f"the endpoint {redact_url(url)}", "HOST:8080 or http://HOST:8080") from None
    if strip_credentials(url) != url or redact_url(url) != url:
        raise InvalidArgument(name, f"the endpoint {redact_url(url)} with a path or query", "http://HOST:8080")
    return url
