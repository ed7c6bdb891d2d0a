"""Signatures of requests to S3 (S3 API reference, "Authenticating Requests: AWS Signature Version 4")."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from lamina.transports.addresses import DEFAULT_PORTS
from lamina.transports.profiles import Keys

_ALGORITHM = "AWS4-HMAC-SHA256"


def signed_headers(
    method: str, url: str, body: bytes, keys: Keys | None, region: str, now: datetime | None = None
) -> dict[str, str]:
    """Give the headers that sign a request with ``keys``; without keys there is nothing to sign.

    The path of ``url`` is percent-encoded as it will be sent. ``now`` is the time of the request, None for the present.
    """
    parts = urlsplit(url)
    is_default = parts.port in (None, DEFAULT_PORTS.get(parts.scheme))
    host = parts.netloc.rpartition(":")[0] if is_default and parts.port else parts.netloc
    if keys is None:
        return {"Host": host}
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        (
            method,
            parts.path or "/",
            _query(parts.query),
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            "",
            names,
            digest,
        )
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = _mac(_key(keys.secret, stamp[:8], region), text).hex()
    authorization = f"{_ALGORITHM} Credential={keys.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {"Authorization": authorization, **headers}


def _query(text: str) -> str:
    pairs = parse_qsl(text, keep_blank_values=True)
    return "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs))


def _key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for text in (day, region, "s3", "aws4_request"):
        key = _mac(key, text)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
