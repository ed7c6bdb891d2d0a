"""URLs of caches in buckets, and the URLs and keys of their objects."""

import pytest

from lamina.errors import FormatError, InvalidArgument
from lamina.transports.s3_urls import BucketUrl, check_endpoint


def test_a_url_has_a_bucket_a_prefix_and_settings() -> None:
    url = BucketUrl.parse("s3://cache/a%20b/c/?region=eu-west-1&profile=me&priority=10")
    assert (url.bucket, url.prefix, url.region, url.profile) == ("cache", "a b/c", "eu-west-1", "me")
    assert (url.endpoint, url.style) == ("", "auto")
    assert url.label == "s3://cache/a b/c"
    assert BucketUrl.parse("s3://cache").label == "s3://cache"


@pytest.mark.parametrize(
    ("query", "endpoint"),
    [
        ("endpoint=localhost:9000", "https://localhost:9000"),
        ("endpoint=localhost:9000&scheme=http", "http://localhost:9000"),
        ("endpoint=http://localhost:9000/", "http://localhost:9000"),
        ("scheme=http", "http://s3.us-east-1.amazonaws.com"),
        ("scheme=http&region=eu-west-1", "http://s3.eu-west-1.amazonaws.com"),
    ],
)
def test_an_endpoint_has_the_scheme_that_was_asked_for(query: str, endpoint: str) -> None:
    assert BucketUrl.parse(f"s3://cache?{query}").endpoint == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://user:hunter2@cache",
        "https://cache",
        "s3://cache/../x",
        "s3://cache?unknown=1",
        "s3://cache?scheme=ftp",
        "s3://cache?addressing-style=none",
        "s3://cache?endpoint=user:hunter2@host",
        "s3://cache?endpoint=host/path?x=hunter2",
    ],
)
def test_any_other_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        BucketUrl.parse(url)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("url", "endpoint", "region", "expected"),
    [
        ("s3://cache", "", "eu-west-1", "https://cache.s3.eu-west-1.amazonaws.com"),
        ("s3://cache", "", "cn-north-1", "https://cache.s3.cn-north-1.amazonaws.com.cn"),
        ("s3://my.cache", "", "us-east-1", "https://s3.us-east-1.amazonaws.com/my.cache"),
        ("s3://cache", "http://localhost:9000", "", "http://localhost:9000/cache"),
        ("s3://cache?addressing-style=virtual", "http://localhost:9000", "", "http://cache.localhost:9000"),
        ("s3://cache?addressing-style=path", "", "us-east-1", "https://s3.us-east-1.amazonaws.com/cache"),
    ],
)
def test_a_bucket_is_in_the_host_or_in_the_path(url: str, endpoint: str, region: str, expected: str) -> None:
    assert BucketUrl.parse(url).build_root_url(endpoint, region) == expected


def test_a_key_is_the_name_below_the_prefix_percent_encoded() -> None:
    assert BucketUrl.parse("s3://cache/a%20b").build_key("nar/é+.nar") == "a%20b/nar/%C3%A9%2B.nar"
    assert BucketUrl.parse("s3://cache").build_key("x.narinfo") == "x.narinfo"
    for name in ("../x", "\udcff"):
        with pytest.raises(FormatError):
            BucketUrl.parse("s3://cache").build_key(name)


def test_an_endpoint_is_a_scheme_a_host_and_a_port() -> None:
    assert check_endpoint("http://host:1/", "here") == "http://host:1"
    with pytest.raises(InvalidArgument, match="here: got the endpoint"):
        check_endpoint("http://", "here")
