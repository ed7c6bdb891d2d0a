"""References to images in registries are read as docker reads them."""

import pytest

from lamina.errors import InvalidArgument
from lamina.formats.registry_references import RegistryReference, is_loopback_host

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "api_host", "target"),
    [
        ("debian", "docker.io/library/debian:latest", "registry-1.docker.io", "latest"),
        ("docker://debian:12", "docker.io/library/debian:12", "registry-1.docker.io", "12"),
        ("me/app", "docker.io/me/app:latest", "registry-1.docker.io", "latest"),
        ("index.docker.io/app:1", "docker.io/library/app:1", "registry-1.docker.io", "1"),
        ("registry-1.docker.io/me/app:1", "docker.io/me/app:1", "registry-1.docker.io", "1"),
        ("localhost/app:1", "localhost/app:1", "localhost", "1"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000", "latest"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000", "1"),
        ("GHCR.io/a/b/c:V1", "ghcr.io/a/b/c:V1", "ghcr.io", "V1"),
        (f"ghcr.io/a@sha256:{HEX}", f"ghcr.io/a@sha256:{HEX}", "ghcr.io", f"sha256:{HEX}"),
        (f"ghcr.io/a:1@sha256:{HEX}", f"ghcr.io/a:1@sha256:{HEX}", "ghcr.io", f"sha256:{HEX}"),
    ],
)
def test_a_reference_is_completed_as_docker_does(text: str, full: str, api_host: str, target: str) -> None:
    reference = RegistryReference.parse(text)
    assert (str(reference), reference.api_host, reference.target) == (full, api_host, target)
    assert RegistryReference.parse(full) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "ghcr.io/",
        "ghcr.io/a:",
        "ghcr.io/a:-x",
        "ghcr.io/a b",
        "ghcr.io/a//b",
        "ghcr.io/../b",
        "ghcr.io/a@",
        "ghcr.io/a@sha256:12",
        f"ghcr.io/a@sha512:{HEX}{HEX}",
        f"ghcr.io/a@sha256-{'a' * 44}",
        f"ghcr.io/a@sha256:{HEX.upper()}",
        "ghcr.io/" + "a" * 256,
        "ghcr.io/a?b=c",
        "ghcr.io/a\nHost: x",
    ],
)
def test_an_invalid_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        RegistryReference.parse(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ghcr.io/Me/App:1", "write ghcr.io/me/app"),
        ("https://ghcr.io/a", "leave https:// out"),
        ("docker-daemon:app:1", "save it to a file first: docker save app:1 -o app.tar"),
        ("containers-storage:app:1", "save it to a file first: podman save app:1 -o app.tar"),
        ("oci:folder:1", "it is a file or folder already: lamina inspect 'folder#1' reads it"),
        ("oci:folder", "it is a file or folder already: lamina inspect folder reads it"),
        ("docker-archive:x.tar:app:1", "it is a file or folder already: lamina inspect 'x.tar#app:1' reads it"),
    ],
)
def test_an_error_says_how_to_write_the_reference(text: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RegistryReference.parse(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got '', expected HOST"),
        (":1", "got ':1', expected HOST"),
        ("127.0.0.1:5400", "got 127.0.0.1:5400, without a repository"),
        ("docker://localhost:5000", "got localhost:5000, without a repository"),
        ("ghcr.io/a@sha256:12", "digest of the image reference: got 2 characters, expected sha256: and 64 hex digits"),
        ("127.0.0.1:5400/a:1@sha256:12", "digest of the image reference: got 2 characters"),
        ("ghcr.io/" + "a" * 256, "got 264 characters, expected at most 255"),
    ],
)
def test_an_error_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RegistryReference.parse(text)
    assert message in str(caught.value)


def test_a_repository_may_be_called_like_a_transport() -> None:
    assert str(RegistryReference.parse("docker://oci:1")) == "docker.io/library/oci:1"


def test_a_password_in_a_reference_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidArgument) as caught:
        RegistryReference.parse("user:hunter2@ghcr.io/a")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_a_digest_replaces_the_tag() -> None:
    reference = RegistryReference.parse(f"ghcr.io/a@sha256:{HEX}")
    assert reference.digest is not None
    assert RegistryReference.parse("ghcr.io/a:1").with_digest(reference.digest) == reference


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.1.2.3:80", True),
        ("[::1]:5000", True),
        ("127.0.0.1.example", False),
        ("localhost.example:5000", False),
        ("10.0.0.1", False),
    ],
)
def test_this_machine_is_recognised(host: str, *, is_loopback: bool) -> None:
    assert is_loopback_host(host) is is_loopback


def test_a_name_that_is_invalid_in_lower_case_too_gets_no_hint() -> None:
    with pytest.raises(InvalidArgument) as caught:
        RegistryReference.parse("BAD NAME")
    assert not caught.value.hint
