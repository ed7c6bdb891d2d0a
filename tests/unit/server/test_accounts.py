"""Users are known by the right password, or by the token of a program."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.logins import basic, hash_password, hash_token

from lamina.errors import FormatError, InputError
from lamina.server.accounts import Accounts, read_accounts

TOKEN = "8f5c1d0e" * 8


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    file = tmp_path / "users"
    lines = (
        "# users",
        f"me:{hash_password('se:cret')}",
        "",
        f"anna:{hash_password('päss')}",
        f"ci:{hash_token(TOKEN)}",
    )
    file.write_text("\n".join(lines))
    return read_accounts("--auth-file", file)


def test_the_right_password_is_accepted_again_and_again(accounts: Accounts) -> None:
    for _ in range(3):
        assert accounts.find(basic("me:se:cret")) == "me"
        assert accounts.find(basic("me:se:cret").replace("Basic", "basic")) == "me"
    assert accounts.find(basic("anna:päss")) == "anna"


def test_a_token_is_accepted_as_it_is_and_as_a_password(accounts: Accounts) -> None:
    for _ in range(3):
        assert accounts.find(f"Bearer {TOKEN}") == "ci"
        assert accounts.find(f"bearer  {TOKEN} ") == "ci"
        assert accounts.find(basic(f"ci:{TOKEN}")) == "ci"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic é",
        "Bearer",
        "Bearer ",
        "Bearer é",
        "Bearer " + basic("me:se:cret")[6:],
        f"Bearer {TOKEN}0",
        f"Basic {TOKEN}",
        f"Digest {TOKEN}",
        TOKEN,
        basic(f"me:{TOKEN}"),
        basic(f"nobody:{TOKEN}"),
        basic("ci:wrong"),
        basic(f"ci:{hash_token(TOKEN)}"),
        basic("me"),
        basic("me:"),
        basic("me:wrong"),
        basic("me:se:cret2"),
        basic("me:se:cret\0"),
        basic("ME:se:cret"),
        basic(":se:cret"),
        basic("nobody:se:cret"),
        basic("me:" + "x" * 5000),
    ],
)
def test_all_else_is_nobody(accounts: Accounts, header: str) -> None:
    assert accounts.find(header) is None


def test_a_file_may_have_tokens_only(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"ci:{hash_token('first')}\nci:{hash_token('second')}\n")
    accounts = read_accounts("--auth-file", file)
    assert [accounts.find(f"Bearer {token}") for token in ("first", "second", "third")] == ["ci", "ci", None]
    assert accounts.find(basic("ci:wrong")) is None


@pytest.mark.parametrize(
    "line",
    [
        "me:secret",
        "me:$apr1$abc$def",
        "me",
        ":$2b$05$" + "a" * 53,
        "me:$2b$05$short",
        "me:sha256:abc",
        "me:sha256:" + "A" * 64,
        ":sha256:" + "a" * 64,
        "me:sha1:" + "a" * 40,
    ],
)
def test_a_file_of_another_form_is_refused_without_showing_it(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"anna:{hash_password('x')}\n{line}\n")
    with pytest.raises(FormatError, match="line 2: got another form, expected USER and a bcrypt hash") as error:
        read_accounts("--auth-file", file)
    assert line not in str(error.value)


def test_a_file_without_users_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("# nobody\n")
    with pytest.raises(FormatError, match="got no user") as error:
        read_accounts("--auth-file", tmp_path / "users")
    assert error.value.hint == "htpasswd -B FILE USER adds a user"
    with pytest.raises(InputError):
        read_accounts("--auth-file", tmp_path / "none")
