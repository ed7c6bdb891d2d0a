"""The URL of a binary cache decides which transport is opened, and unusable URLs are refused."""

from pathlib import Path

import pytest

from lamina.errors import InvalidArgument
from lamina.transports.open import check_writable_url, open_transport, open_writable


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("file:///srv/cache", "file:///srv/cache"),
        ("file:///srv/cache/", "file:///srv/cache"),
        ("file:///srv/cache?compression=zstd", "file:///srv/cache"),
        ("http://user:hunter2@host:8080/cache/", "http://host:8080/cache"),
        ("HTTPS://host", "HTTPS://host"),
        ("https://host//?priority=30", "https://host"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/?region=eu-west-1", "s3://bucket/a/b"),
    ],
)
def test_a_cache_is_opened_by_its_url(url: str, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    opened = open_transport(url)
    assert opened.label == where
    opened.close()


@pytest.mark.parametrize("url", ["file:///srv/cache", "s3://bucket"])
def test_some_caches_are_written(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_writable(url).label == url


def test_a_cache_over_http_is_read_only() -> None:
    with pytest.raises(
        InvalidArgument, match=r"^cache https://host/x: got https://, which is read-only, expected file://"
    ):
        open_writable("https://user:hunter2@host/x?token=hunter2")


@pytest.mark.parametrize(
    "url",
    ["ssh://host", "ssh-ng://user:hunter2@host", "daemon", "auto", "local", "local?root=/x", "unix:///x", "dummy://"],
)
def test_stores_of_nix_are_not_caches(url: str) -> None:
    with pytest.raises(
        InvalidArgument, match="got a store of Nix, expected a binary cache: file:///FOLDER, http://"
    ) as caught:
        open_transport(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "cache", "ftp://host", "cache.nixos.org", "://", "gs://bucket", "httpx://host"])
def test_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(
        InvalidArgument, match="got no known scheme, expected file:///FOLDER, http://HOST, https://HOST or s3"
    ):
        open_transport(url)


def test_a_folder_is_named_by_a_url() -> None:
    with pytest.raises(InvalidArgument) as caught:
        open_transport("/srv/cache")
    assert caught.value.hint == "a folder is named file:///srv/cache"


@pytest.mark.parametrize(
    "url",
    [
        "file://host/srv",
        "file:srv",
        "file://",
        "file:///srv#x",
        "file:///a b",
        "file:///a\nb",
        "file:///a%00b",
        "file://[",
    ],
)
def test_a_file_url_without_a_folder_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^cache "):
        open_transport(url)


@pytest.mark.parametrize("url", ["file:///cache", "s3://bucket/prefix?region=eu-west-1", "S3://bucket"])
def test_the_url_of_a_cache_is_checked_without_opening_it(url: str) -> None:
    assert check_writable_url(url) == url


@pytest.mark.parametrize("url", ["https://host", "file://host/x", "s3://", "s3://bucket?x=y", "daemon", "/folder"])
def test_a_url_that_cannot_be_written_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        check_writable_url(url)
