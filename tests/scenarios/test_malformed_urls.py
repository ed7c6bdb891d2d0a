"""Malformed URLs are refused with an error of lamina's that repeats no part of a password, wherever they are given."""

import pytest

from lamina.errors import FormatError, InvalidArgument, Unavailable
from lamina.transports.connections import Connections
from lamina.transports.retry import RetryPolicy
from lamina.transports.s3_urls import BucketUrl, check_endpoint
from lamina.transports.urls import CacheUrl, Origin

WORD = "hUnt3rZQ"
URLS = [
    f"http://user:{WORD}/x@host/",
    f"http://user:{WORD}",
    f"http://user:{WORD}?@host",
    f"http://user:{WORD}@[::1",
    f"http://user:{WORD}@host:99999",
    f"http://user:{WORD}@host:+8",
    f"http://user:{WORD}@host:٣",
    f"http://user:{WORD}@[x]/",
    f"http://user:{WORD}@[v1.x/",
    f"http://user:{WORD}@℀/",
    "http://[::1%]:80",
    "http://",
    "http://:80",
]
# The standard library accepts these URLs; the HTTP library does not.
ODD_HOSTS = ["http://%zz/", "http://[fe80::1]x:80"]


@pytest.mark.parametrize("url", URLS)
def test_an_origin_is_refused_without_a_secret(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Origin.of(url)
    assert WORD not in str(refused.value)


@pytest.mark.parametrize("url", [*URLS, *ODD_HOSTS])
def test_a_request_is_refused_without_a_secret(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(Unavailable) as refused:
        Connections(RetryPolicy(connect_timeout=1, read_timeout=1)).send("GET", url, {}, "file")
    assert WORD not in str(refused.value)


@pytest.mark.parametrize("url", [*URLS, *ODD_HOSTS])
def test_a_proxy_is_refused_without_a_secret(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", url)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(InvalidArgument) as refused:
        Connections(RetryPolicy(connect_timeout=1, read_timeout=1)).send("GET", "http://host", {}, "file")
    assert WORD not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("url", URLS)
def test_a_cache_an_endpoint_and_a_file_are_refused_without_a_secret(url: str) -> None:
    for refuse in (
        lambda: CacheUrl.parse(url),
        lambda: check_endpoint(url, "cache s3://bucket"),
        lambda: BucketUrl.parse(f"s3://bucket?endpoint={url}"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            refuse()
        assert WORD not in str(refused.value)
    with pytest.raises(FormatError) as misnamed:
        CacheUrl.parse("http://cache").resolve(url.replace("http://", "http://[", 1))
    assert WORD not in str(misnamed.value)
