"""Only users with the right password send requests."""

from __future__ import annotations

import base64
from pathlib import Path

import bcrypt
import pytest

from lamina.errors import FormatError, InputError
from lamina.server.error_documents import RequestRefused
from lamina.server.guards import AccountGuard, Guard, OpenGuard, read_password_file


def basic(account: str) -> str:
    return "Basic " + base64.b64encode(account.encode()).decode()


def hash_password(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text(f"# users\nme:{hash_password('se:cret')}\n\nanna:{hash_password('päss')}\n")
    return file


@pytest.fixture(params=["account", "file"])
def guard(request: pytest.FixtureRequest, file: Path) -> Guard:
    return AccountGuard("me", "se:cret") if request.param == "account" else read_password_file("--auth-file", file)


def test_the_right_password_is_accepted_again_and_again(guard: Guard) -> None:
    for _ in range(3):
        assert guard.identify(basic("me:se:cret")) == "me"
        assert guard.identify(basic("me:se:cret").replace("Basic", "basic")) == "me"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic é",
        "Bearer " + basic("me:se:cret")[6:],
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
def test_all_else_is_refused_and_asked_to_log_in(guard: Guard, header: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        guard.identify(header)
    assert (refused.value.status, refused.value.code) == (401, "UNAUTHORIZED")
    assert dict(refused.value.headers)["WWW-Authenticate"].startswith("Basic realm=")


def test_users_may_have_any_letters(file: Path) -> None:
    assert read_password_file("--auth-file", file).identify(basic("anna:päss")) == "anna"


def test_without_a_guard_nobody_has_a_name() -> None:
    assert OpenGuard().identify(basic("me:x")) == ""


@pytest.mark.parametrize("line", ["me:secret", "me:$apr1$abc$def", "me", ":$2b$05$" + "a" * 53, "me:$2b$05$short"])
def test_a_file_of_another_form_is_refused_without_showing_it(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"anna:{hash_password('x')}\n{line}\n")
    with pytest.raises(FormatError, match="line 2: got another form, expected USER and a bcrypt hash") as error:
        read_password_file("--auth-file", file)
    assert line not in str(error.value)


def test_a_file_without_users_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("# nobody\n")
    with pytest.raises(FormatError, match="got no user"):
        read_password_file("--auth-file", tmp_path / "users")
    with pytest.raises(InputError):
        read_password_file("--auth-file", tmp_path / "none")
