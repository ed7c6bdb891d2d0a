"""The places of credentials, by the environment."""

import os

import pytest

from lamina.registry.credential_places import CredentialFile, list_places, read_places


def list_paths(environment: dict[str, str], platform: str = "linux") -> list[str]:
    return [file.path for file in list_places(environment, "/home/me", platform, 1000).files]


def test_podmans_files_come_before_dockers() -> None:
    assert list_paths({"XDG_RUNTIME_DIR": "/run/user/1000"}) == [
        "/run/user/1000/containers/auth.json",
        "/home/me/.config/containers/auth.json",
        "/home/me/.docker/config.json",
    ]


def test_without_a_runtime_folder_podman_uses_one_with_the_users_number() -> None:
    assert list_paths({"XDG_RUNTIME_DIR": ""})[0] == "/run/containers/1000/auth.json"


def test_the_configuration_folder_of_xdg_may_be_elsewhere() -> None:
    assert list_paths({"XDG_CONFIG_HOME": "/etc/me"})[1] == "/etc/me/containers/auth.json"


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_have_no_runtime_folder(platform: str) -> None:
    files = ["/home/me/.config/containers/auth.json", "/home/me/.docker/config.json"]
    assert list_paths({"XDG_RUNTIME_DIR": "/run/user/1000"}, platform) == files
    assert list_paths({"XDG_CONFIG_HOME": "/x"}, platform) == [files[0], "/x/containers/auth.json", files[1]]


def test_dockers_variable_names_the_only_file() -> None:
    places = list_places({"DOCKER_CONFIG": "/ci", "XDG_RUNTIME_DIR": "/run/user/1"}, "/home/me", "linux", 1)
    assert places.files == (CredentialFile("/ci/config.json", "DOCKER_CONFIG"),)
    assert str(places.files[0]) == "/ci/config.json (named by DOCKER_CONFIG)"
    assert places.login_command == "docker login"


def test_podmans_variable_wins_over_those_of_docker() -> None:
    environment = {"REGISTRY_AUTH_FILE": "/auth", "DOCKER_CONFIG": "/ci", "DOCKER_AUTH_CONFIG": "{}"}
    places = list_places(environment, "/home/me", "linux", 1)
    assert places.files == (CredentialFile("/auth", "REGISTRY_AUTH_FILE"),)
    assert places.document == ""
    assert places.login_command == "podman login"


def test_the_variable_with_a_document_comes_beside_the_files_and_is_not_shown() -> None:
    places = list_places({"DOCKER_AUTH_CONFIG": '{"auths": {}}'}, "/home/me", "linux", 1)
    assert places.document == '{"auths": {}}'
    assert len(places.files) == 3
    assert "auths" not in repr(places)


def test_the_environment_of_this_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", "/ci")
    monkeypatch.setenv("PATH", "/somewhere")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    assert read_places().search_path == "/somewhere"
    assert read_places().files[0].path == "/ci/config.json"
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", "/home/you")
    assert read_places().files[-1].path == "/home/you/.docker/config.json"
    assert str(os.getuid()) in read_places().files[0].path
