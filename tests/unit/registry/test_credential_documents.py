"""The documents in which docker and podman keep credentials."""

import base64
import json
from typing import Any

import pytest
from tests.support.credentials import encode_auth

from lamina.errors import FormatError
from lamina.registry.credential_documents import HUB_SERVER, CredentialDocument, Helper
from lamina.registry.credentials import Credentials

NAME = "ghcr.io/me/app"


def parse(**document: Any) -> CredentialDocument:
    return CredentialDocument.parse(json.dumps(document), "config.json")


def find_key(name: str, *keys: str) -> str | None:
    """Return the key that is used for ``name`` in a document with ``keys``."""
    found = parse(auths={key: encode_auth("me", key) for key in keys}).find_entry(name)
    return found.secret if found else None


def test_an_entry_has_a_user_and_a_password_in_base_64() -> None:
    assert parse(auths={"ghcr.io": encode_auth("me", "pass:wörd")}).find_entry(NAME) == Credentials("me", "pass:wörd")


@pytest.mark.parametrize("text", ["bWU6eA", "bWU6eA==", "bWU6\neA==\n", base64.b64encode(b"me:x\0\0").decode()])
def test_padding_of_the_base_64_and_of_the_password_may_be_missing_or_there(text: str) -> None:
    assert parse(auths={"ghcr.io": {"auth": text}}).find_entry(NAME) == Credentials("me", "x")


def test_an_entry_may_have_the_user_and_the_password_as_they_are() -> None:
    found = parse(auths={"ghcr.io": {"username": "me", "password": "x"}}).find_entry(NAME)
    assert found == Credentials("me", "x")


def test_an_identity_token_is_used_in_place_of_user_and_password() -> None:
    entry = {**encode_auth("00000000-0000-0000-0000-000000000000", ""), "identitytoken": "refresh"}
    assert parse(auths={"ghcr.io": entry}).find_entry(NAME) == Credentials("", "", "refresh")


def test_a_registry_token_comes_before_everything_else() -> None:
    entry = {**encode_auth("me", "x"), "registrytoken": "bearer"}
    assert parse(auths={"ghcr.io": entry}).find_entry(NAME) == Credentials("", "", "", "bearer")


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"auth": None}, {"email": "a@b"}, {"auth": "Og=="}])
def test_an_entry_without_credentials_does_not_count(entry: dict[str, str]) -> None:
    assert parse(auths={"ghcr.io/me": entry, "ghcr.io": encode_auth("me", "x")}).find_entry(NAME)
    assert parse(auths={"ghcr.io": entry}).find_entry(NAME) is None


def test_the_longest_name_wins() -> None:
    assert find_key(NAME, "ghcr.io", "ghcr.io/me/app", "ghcr.io/me") == "ghcr.io/me/app"
    assert find_key(NAME, "ghcr.io", "ghcr.io/me") == "ghcr.io/me"
    assert find_key(NAME, "ghcr.io/m", "ghcr.io/me/ap", "ghcr.io/me/app/x") is None


@pytest.mark.parametrize("key", ["https://ghcr.io", "http://ghcr.io/", "https://ghcr.io/v1/", "ghcr.io/v2/", "GHCR.io"])
def test_old_keys_are_urls(key: str) -> None:
    assert find_key(NAME, key) == key
    assert find_key(NAME, key, "ghcr.io") == "ghcr.io"


@pytest.mark.parametrize("key", ["ghcr.io:5000", "io", "https://ghcr.io.example", "xghcr.io", "https://ghcr.io@x"])
def test_another_registrys_key_is_not_used(key: str) -> None:
    assert find_key(NAME, key) is None


def test_a_port_belongs_to_the_name() -> None:
    assert find_key("localhost:5000/app", "localhost", "localhost:5000") == "localhost:5000"
    assert find_key("[::1]:5000/app", "[::1]:5000") == "[::1]:5000"


@pytest.mark.parametrize("key", [HUB_SERVER, "docker.io", "index.docker.io", "https://registry-1.docker.io/v2/"])
def test_the_docker_hub_has_several_names(key: str) -> None:
    assert find_key("docker.io/library/debian", key) == key


def test_dockers_name_of_the_hub_is_preferred_to_its_other_names() -> None:
    name = "docker.io/library/debian"
    assert find_key(name, "index.docker.io", HUB_SERVER) == HUB_SERVER
    assert find_key(name, HUB_SERVER, "docker.io") == "docker.io"
    assert find_key(name, HUB_SERVER, "docker.io/library") == "docker.io/library"


def test_tokens_of_docker_desktops_own_login_are_not_sent_to_the_hub() -> None:
    assert find_key("docker.io/me/app", f"{HUB_SERVER}access-token", f"{HUB_SERVER}refresh-token") is None


def test_a_name_without_a_dot_is_never_the_docker_hub() -> None:
    assert find_key("docker.io/registry/app", "registry", "registry/app", "library") is None


def test_a_helper_of_the_registry_is_preferred_to_the_helper_of_all() -> None:
    document = parse(credHelpers={"ghcr.io": "one"}, credsStore="all")
    assert document.find_helper(NAME) == Helper("one", "ghcr.io", "credHelpers")
    assert document.find_helper("quay.io/me/app") == Helper("all", "quay.io", "credsStore")
    assert parse(credHelpers={"ghcr.io": "one"}).find_helper("quay.io/me/app") is None


def test_the_helper_of_all_is_asked_for_dockers_name_of_the_hub() -> None:
    name = "docker.io/library/debian"
    assert parse(credsStore="all").find_helper(name) == Helper("all", HUB_SERVER, "credsStore")
    assert parse(credHelpers={"docker.io": "podmans"}).find_helper(name) == Helper(
        "podmans", "docker.io", "credHelpers"
    )


@pytest.mark.parametrize("name", ["../../tmp/x", "a/b", "-x", "a b", "a\0", "x\n", "."])
def test_a_helpers_name_cannot_lead_to_another_folder(name: str) -> None:
    with pytest.raises(FormatError, match="the NAME of a docker-credential-NAME"):
        parse(credsStore=name).find_helper(NAME)


@pytest.mark.parametrize("data", ["", " \n", "{}", '{"auths": null, "credsStore": null}', '{"HttpHeaders": {"a": 1}}'])
def test_a_document_may_be_without_entries(data: str) -> None:
    document = CredentialDocument.parse(data, "config.json")
    assert document.find_entry(NAME) is None
    assert document.find_helper(NAME) is None


@pytest.mark.parametrize(
    "data",
    [
        '{"auths": {"ghcr.io": {"auth": "aHVudGVyMg=="}',
        '["aHVudGVyMg=="]',
        '"aHVudGVyMg=="',
        '{"auths": ["aHVudGVyMg=="]}',
        '{"auths": {"ghcr.io": "aHVudGVyMg=="}}',
        '{"auths": {"ghcr.io": {"auth": ["aHVudGVyMg=="]}}}',
        '{"auths": {"ghcr.io": {"auth": "aHVudGVyMg=="}}}',
        '{"auths": {"ghcr.io": {"auth": "aHVudGVyMg==!"}}}',
        '{"auths": {"ghcr.io": {"auth": "aHVudGVyMjr/"}}}',
        '{"auths": {"ghcr.io": {"registrytoken": {"x": "aHVudGVyMg=="}}}}',
        '{"auths": {"ghcr.io": {"identitytoken": ["aHVudGVyMg=="]}}}',
        '{"auths": {"ghcr.io": {"username": "x", "password": ["aHVudGVyMg=="]}}}',
        '{"credHelpers": {"ghcr.io": ["aHVudGVyMg=="]}}',
        '{"credHelpers": "aHVudGVyMg=="}',
        '{"credsStore": ["aHVudGVyMg=="]}',
    ],
)
def test_an_invalid_document_is_an_error_that_names_the_file_and_no_secret(data: str) -> None:
    with pytest.raises(FormatError, match=r"^config\.json") as caught:
        CredentialDocument.parse(data, "config.json").find_entry(NAME)
    link: BaseException | None = caught.value
    while link:
        assert "aHVudGVyMg" not in f"{link} {vars(link)}"
        assert "hunter2" not in f"{link} {vars(link)}"
        link = link.__cause__ or link.__context__


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[]", "config.json: got a list, expected JSON as docker login"),
        ('{"auths": []}', "config.json: auths: got a list, expected an object"),
        ('{"auths": false}', "config.json: auths: got a boolean, expected an object"),
        ('{"auths": {"ghcr.io": 1}}', "config.json: auths: 'ghcr.io': got a number, expected JSON"),
        ('{"auths": {"ghcr.io": null}}', "config.json: auths: 'ghcr.io': got null, expected JSON"),
        ('{"auths": {"ghcr.io": {"auth": []}}}', "config.json: the entry ghcr.io: auth: got a list, expected a string"),
        ('{"auths": {"ghcr.io": {"identitytoken": 0}}}', "ghcr.io: identitytoken: got a number, expected a string"),
        ('{"credHelpers": ""}', "config.json: credHelpers: got a string, expected an object"),
        ('{"credsStore": {}}', "config.json: credsStore: got an object, expected a string"),
    ],
)
def test_an_empty_value_of_a_wrong_type_is_an_error_too(data: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        CredentialDocument.parse(data, "config.json").find_entry(NAME)
    assert message in str(caught.value)


def test_the_repr_of_a_document_has_no_secrets() -> None:
    document = parse(auths={"ghcr.io": {**encode_auth("me", "hunter2"), "identitytoken": "refresh"}})
    assert document.auths["ghcr.io"]["auth"] not in repr(document)
    assert "refresh" not in repr(document)
    assert "refresh" not in repr(document.find_entry(NAME))
    assert "bearer" not in repr(Credentials("", "", "", "bearer"))
