"""The search through files and helpers, in the order of docker and podman."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.credentials import ANSWER, encode_auth, write_helper

from lamina.cli.failures import Failure
from lamina.errors import AuthError, Error, FormatError, InputError
from lamina.registry.credential_places import CredentialFile, CredentialPlaces
from lamina.registry.credential_search import CredentialSearch
from lamina.registry.credentials import Credentials

NAME = "ghcr.io/me/app"


@pytest.fixture
def places(tmp_path: Path) -> CredentialPlaces:
    files = (CredentialFile(f"{tmp_path}/podman/auth.json"), CredentialFile(f"{tmp_path}/docker/config.json"))
    for file in files:
        Path(file.path).parent.mkdir()
    return CredentialPlaces(files, search_path=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def write(file: CredentialFile, **document: object) -> None:
    Path(file.path).write_text(json.dumps(document))


def test_the_first_file_with_an_entry_wins(places: CredentialPlaces) -> None:
    podman, docker = places.files
    write(podman, auths={"quay.io": encode_auth("podman", "x"), "ghcr.io": {}})
    write(docker, auths={"quay.io": encode_auth("docker", "x"), "ghcr.io": encode_auth("docker", "y")})
    search = CredentialSearch(places)
    assert search.find("quay.io/me/app") == Credentials("podman", "x")
    assert search.find(NAME) == Credentials("docker", "y")
    assert search.find("other.example/app") is None


def test_the_document_of_the_environment_comes_before_the_files(places: CredentialPlaces) -> None:
    write(places.files[1], auths={"ghcr.io": encode_auth("docker", "x"), "quay.io": encode_auth("docker", "y")})
    document = json.dumps({"auths": {"ghcr.io": encode_auth("ci", "z")}})
    search = CredentialSearch(CredentialPlaces(places.files, document))
    assert search.find(NAME) == Credentials("ci", "z")
    assert search.find("quay.io/me/app") == Credentials("docker", "y")
    assert (
        search.suggest_login(NAME) == "log in with docker login ghcr.io; the credentials came from DOCKER_AUTH_CONFIG"
    )


def test_a_helper_is_asked_before_the_entries_of_its_file(places: CredentialPlaces, tmp_path: Path) -> None:
    file = write_helper(tmp_path, "test", f"echo '{ANSWER}'")
    write(places.files[1], auths={"ghcr.io": encode_auth("old", "x")}, credsStore="test")
    search = CredentialSearch(places)
    assert search.find(NAME) == Credentials("helped", "hunter2")
    assert search.find("docker.io/library/debian") == Credentials("helped", "hunter2")
    assert Path(f"{file}.calls").read_text() == "get ghcr.io\nget https://index.docker.io/v1/\n"
    assert search.suggest_login(NAME).endswith(f"came from docker-credential-test, which {places.files[1].path} names")


def test_entries_count_if_the_helper_of_all_registries_has_none(places: CredentialPlaces, tmp_path: Path) -> None:
    write_helper(tmp_path, "test", "echo credentials not found in native keychain; exit 1")
    write(places.files[0], auths={"ghcr.io": encode_auth("me", "x")}, credsStore="test")
    assert CredentialSearch(places).find(NAME) == Credentials("me", "x")


def test_entries_do_not_count_beside_a_helper_of_their_registry(places: CredentialPlaces, tmp_path: Path) -> None:
    write_helper(tmp_path, "test", "echo credentials not found in native keychain; exit 1")
    write(places.files[0], auths={"ghcr.io": encode_auth("me", "x")}, credHelpers={"ghcr.io": "test"})
    assert CredentialSearch(places).find(NAME) is None
    write(places.files[1], auths={"ghcr.io": encode_auth("docker", "x")})
    assert CredentialSearch(places).find(NAME) == Credentials("docker", "x")


def test_a_missing_helper_is_an_error_even_if_another_file_has_an_entry(places: CredentialPlaces) -> None:
    write(places.files[0], credsStore="gone")
    write(places.files[1], auths={"ghcr.io": encode_auth("docker", "x")})
    with pytest.raises(AuthError, match=f"no such program on PATH, expected the program that {places.files[0].path}"):
        CredentialSearch(places).find(NAME)


def test_missing_files_are_no_error_and_the_hint_names_them(places: CredentialPlaces, tmp_path: Path) -> None:
    write(places.files[1], auths={"quay.io": encode_auth("me", "hunter2")})
    search = CredentialSearch(places)
    assert search.find(NAME) is None
    places_read = f"{tmp_path}/podman/auth.json (missing), {tmp_path}/docker/config.json"
    assert search.suggest_login(NAME) == f"log in with docker login ghcr.io; no credentials in {places_read}"


def test_the_hint_names_the_file_with_the_refused_credentials(places: CredentialPlaces) -> None:
    write(places.files[1], auths={"ghcr.io": encode_auth("me", "hunter2")})
    search = CredentialSearch(places)
    search.find(NAME)
    assert (
        search.suggest_login(NAME)
        == f"log in with docker login ghcr.io; the credentials came from {places.files[1].path}"
    )


def test_the_hint_names_the_variable_and_the_program_that_reads_it(tmp_path: Path) -> None:
    file = CredentialFile(f"{tmp_path}/auth.json", "REGISTRY_AUTH_FILE")
    search = CredentialSearch(CredentialPlaces((file,), login_command="podman login"))
    assert search.find(NAME) is None
    expected = (
        f"log in with podman login ghcr.io; no credentials in {file.path} (named by REGISTRY_AUTH_FILE) (missing)"
    )
    assert search.suggest_login(NAME) == expected


def test_a_part_of_the_name_that_is_a_file_is_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    search = CredentialSearch(CredentialPlaces((CredentialFile(f"{tmp_path}/file/auth.json"),)))
    assert search.find(NAME) is None


def test_a_broken_file_is_an_error_that_says_what_helps(places: CredentialPlaces) -> None:
    Path(places.files[1].path).write_text('{"auths": hunter2')
    with pytest.raises(FormatError, match=f"^{places.files[1].path}: got a syntax error in line 1, ") as caught:
        CredentialSearch(places).find(NAME)
    assert caught.value.hint == "correct it, or move it away and log in with docker login ghcr.io"


@pytest.mark.parametrize(
    "document",
    [
        '{"auths": {"ghcr.io": {"auth": "hunter2"}',
        '{"auths": {"ghcr.io": {"auth": "hunter2"}}}',
        '{"auths": {"ghcr.io": {"auth": "aHVudGVyMg=="}}}',
        '{"auths": {"ghcr.io": {"identitytoken": ["hunter2"]}}}',
        '{"credHelpers": {"ghcr.io": "missing"}, "auths": {"ghcr.io": {"password": "hunter2"}}}',
        '{"credHelpers": {"ghcr.io": "failing"}}',
        '{"credHelpers": {"ghcr.io": "talking"}}',
        '{"credsStore": "failing:hunter2@x"}',
    ],
)
@pytest.mark.parametrize("as_variable", [False, True])
def test_no_report_of_an_error_has_a_secret(
    document: str, as_variable: bool, places: CredentialPlaces, tmp_path: Path
) -> None:
    """Neither as lines, nor as JSON, nor with the traceback of --debug."""
    write_helper(tmp_path, "failing", f"echo '{ANSWER}'; echo 'token=hunter2' >&2; exit 1")
    write_helper(tmp_path, "talking", "echo hunter2")
    if as_variable:
        places = CredentialPlaces(places.files, document, places.search_path)
    else:
        Path(places.files[1].path).write_text(document)
    search = CredentialSearch(places)
    with pytest.raises(Error) as caught:
        search.find(NAME)
    report = Failure.of(caught.value, debug=True).to_json()
    assert "Traceback" in report
    assert "hunter2" not in report
    assert "aHVudGVyMg" not in report
    assert "hunter2" not in f"{search!r} {places!r}"


def test_a_folder_in_place_of_the_file_is_an_error(places: CredentialPlaces) -> None:
    Path(places.files[0].path).mkdir()
    with pytest.raises(InputError, match="got Is a directory") as caught:
        CredentialSearch(places).find(NAME)
    assert caught.value.hint == "correct it, or move it away and log in with docker login ghcr.io"


@pytest.mark.parametrize("variable", ["", "DOCKER_CONFIG"])
def test_a_named_pipe_in_place_of_the_file_is_an_error(places: CredentialPlaces, variable: str) -> None:
    file = CredentialFile(places.files[1].path, variable)
    os.mkfifo(file.path)
    with pytest.raises(InputError, match="got a named pipe") as caught:
        CredentialSearch(CredentialPlaces((file,))).find(NAME)
    assert caught.value.hint.startswith("correct it, or move it away")


def test_an_endless_file_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"got more than 4\.0 MiB"):
        CredentialSearch(CredentialPlaces((CredentialFile("/dev/zero"),))).find(NAME)


@contextlib.contextmanager
def unprivileged_user() -> Iterator[None]:
    """Be a user without privileges in the block, because root may open every file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_an_error_but_another_users_folder_is_not() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        podman, docker = Path(folder, "run/auth.json"), Path(folder, "config.json")
        podman.parent.mkdir()
        write(CredentialFile(str(docker)), auths={})
        podman.parent.chmod(0)
        with unprivileged_user():
            search = CredentialSearch(CredentialPlaces((CredentialFile(str(podman)), CredentialFile(str(docker)))))
            assert search.find(NAME) is None
            assert f"no credentials in {podman} (in a folder that cannot be opened), " in search.suggest_login(NAME)
            named = CredentialFile(str(podman), "REGISTRY_AUTH_FILE")
            with pytest.raises(InputError, match="got Permission denied"):
                CredentialSearch(CredentialPlaces((named,))).find(NAME)
        docker.chmod(0)
        with unprivileged_user(), pytest.raises(InputError, match="got Permission denied"):
            CredentialSearch(CredentialPlaces((CredentialFile(str(docker)),))).find(NAME)


def test_a_file_that_everybody_may_read_is_no_error(places: CredentialPlaces) -> None:
    write(places.files[1], auths={"ghcr.io": encode_auth("me", "x")})
    Path(places.files[1].path).chmod(0o666)
    assert CredentialSearch(places).find(NAME) == Credentials("me", "x")


def test_a_file_is_read_once_because_it_may_be_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, json.dumps({"auths": {"ghcr.io": encode_auth("me", "x")}}).encode())
    os.close(writer)
    search = CredentialSearch(CredentialPlaces((CredentialFile(f"/dev/fd/{reader}", "REGISTRY_AUTH_FILE"),)))
    assert search.find(NAME) == search.find(NAME) == Credentials("me", "x")
    os.close(reader)


def test_the_environment_of_this_process_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    write(CredentialFile(f"{tmp_path}/config.json"), auths={"ghcr.io": encode_auth("me", "x")})
    assert CredentialSearch.from_environment().find(NAME) == Credentials("me", "x")
