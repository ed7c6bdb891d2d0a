"""The URL of a cache in a bucket, and what a server of S3 is asked by it.

The URL is Nix's: ``s3://BUCKET/PREFIX?endpoint=…&region=…&scheme=http&profile=…`` (Nix manual, "S3
Binary Cache Store").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

from lamina.errors import FormatError, InvalidName, shown
from lamina.transports.urls import SETTINGS, Origin, below, shown_url, split_url, without_credentials

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_KNOWN = ("endpoint", "region", "scheme", "profile", "addressing-style")
_STYLES = ("auto", "path", "virtual")
DEFAULT_REGION = "us-east-1"


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
            endpoint = f"s3.{region or DEFAULT_REGION}.amazonaws.com"
        if endpoint:
            endpoint = checked_endpoint(endpoint if "://" in endpoint else f"{scheme}://{endpoint}", name)
        return cls(parts.netloc, prefix, endpoint, region, options.get("profile", ""), style)

    @property
    def where(self) -> str:
        """As messages have it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def root(self, endpoint: str, region: str) -> str:
        """Give the URL below which the bucket's keys are; ``endpoint`` is ``""`` for Amazon's own."""
        is_virtual = self.style == "virtual" or (self.style == "auto" and not endpoint and "." not in self.bucket)
        ending = ".cn" if region.startswith("cn-") else ""
        scheme, _, host = (endpoint or f"https://s3.{region}.amazonaws.com{ending}").partition("://")
        return f"{scheme}://{self.bucket}.{host}" if is_virtual else f"{scheme}://{host}/{self.bucket}"

    def key(self, name: str) -> str:
        """Give the key of the file ``name``, percent-encoded. Raises `FormatError` for a name that leads elsewhere."""
        key = below(self.where, name)
        try:
            return quote(f"{self.prefix}/{key}" if self.prefix else key, safe="/-_.~")
        except UnicodeEncodeError:
            raise FormatError(f"{self.where}: got the name {shown(name)} for an object, expected UTF-8") from None


def checked_endpoint(url: str, name: str) -> str:
    """Give ``url`` without a slash at its end. Raises `InvalidName`, which calls the cache ``name``."""
    url = url.rstrip("/")
    try:
        Origin.of(url)
    except InvalidName:
        raise InvalidName(
            f"{name}: got the endpoint {shown_url(url)}, expected HOST:8080 or http://HOST:8080"
        ) from None
    if without_credentials(url) != url or shown_url(url) != url:
        raise InvalidName(f"{name}: got the endpoint {shown_url(url)} with more to it, expected http://HOST:8080")
    return url
