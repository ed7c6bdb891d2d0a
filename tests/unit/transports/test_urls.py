"""URLs are shown without secrets, names are resolved against them, and credentials are removed."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lamina.errors import FormatError
from lamina.transports.files import FileTransport
from lamina.transports.urls import CacheUrl, Origin, format_host, redact_url, strip_credentials


@pytest.fixture
def cache(tmp_path: Path) -> FileTransport:
    return FileTransport(f"file://{tmp_path}/cache")


@given(st.text(), st.text(), st.text())
def test_a_redacted_url_has_no_secrets(user: str, path: str, query: str) -> None:
    """RFC 3986, 3.2.1: "Applications should not render as clear text any data after the first colon"."""
    user = user.translate({ord(character): None for character in "/?#"})
    redacted = redact_url(f"https://{user}sEcReT@host/{path}?{query}sEcReT#sEcReT")
    assert "sEcReT" not in redacted.replace(path, "")
    assert redacted.isprintable()


@given(st.sampled_from(["", "http://", "https://", "HTTPS://"]), st.text())
@example("", "HTTP://")
def test_any_name_resolves_to_an_http_url_or_is_refused(start: str, rest: str) -> None:
    """Nix source, HttpBinaryCacheStore::makeRequest: a name may be all of a URL."""
    cache = CacheUrl.parse("https://user:hunter2@host/cache")
    name = start + rest
    is_url = name.lower().startswith(("http://", "https://"))
    try:
        url = cache.resolve(name)
    except FormatError:
        assert is_url
    else:
        assert Origin.of(url).scheme == "https"
        assert is_url or url.startswith("https://host/" if name.startswith("/") else "https://host/cache/")


@pytest.mark.parametrize(
    ("url", "without"),
    [
        ("http://a:b@host/x@y?z@", "http://host/x@y?z@"),
        ("http://a@b@host", "http://host"),
        ("http://host?a@b", "http://host?a@b"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://host#a@b", "http://host#a@b"),
    ],
)
def test_credentials_are_removed_from_a_url(url: str, without: str) -> None:
    assert strip_credentials(url) == without


@pytest.mark.parametrize("host", ["host", "host:8080", "[::1]:8080"])
def test_a_host_has_its_port_unless_it_is_that_of_the_scheme(host: str) -> None:
    assert format_host(Origin.of(f"https://{host}/x?y")) == host
    assert format_host(Origin.of("http://host:80")) == "host"
