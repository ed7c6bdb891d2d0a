"""Credential helpers: real programs, each a small shell script."""

import os
from pathlib import Path

import pytest
from tests.support.credentials import ANSWER, write_helper
from tests.support.processes import is_running, unique_sleep, wait_until

from lamina.errors import AuthError
from lamina.registry.credential_documents import Helper
from lamina.registry.credential_helpers import ask_helper
from lamina.registry.credentials import Credentials

HELPER = Helper("test", "ghcr.io", "credsStore")


@pytest.fixture
def search_path(tmp_path: Path) -> str:
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


def fail(search_path: str, limit: float = 30) -> AuthError:
    """Return the error of the helper, which has no secret in any part."""
    with pytest.raises(AuthError) as caught:
        ask_helper(HELPER, "config.json", search_path, limit=limit)
    link: BaseException | None = caught.value
    while link:
        assert "hunter2" not in f"{link} {vars(link)}"
        link = link.__cause__ or link.__context__
    assert caught.value.subject == "docker-credential-test for ghcr.io"
    return caught.value


def test_a_helper_reads_the_registry_and_prints_credentials(tmp_path: Path, search_path: str) -> None:
    file = write_helper(tmp_path, "test", f"echo '{ANSWER}'")
    assert ask_helper(HELPER, "config.json", search_path) == Credentials("helped", "hunter2")
    assert Path(f"{file}.calls").read_text() == "get ghcr.io\n"


def test_a_special_username_says_that_the_secret_is_an_identity_token(tmp_path: Path, search_path: str) -> None:
    write_helper(tmp_path, "test", """echo '{"Username": "<token>", "Secret": "refresh"}'""")
    assert ask_helper(HELPER, "config.json", search_path) == Credentials("", "", "refresh")


@pytest.mark.parametrize(
    "script",
    ["echo credentials not found in native keychain; exit 1", """echo '{"Username": "", "Secret": ""}'"""],
)
def test_a_helper_may_have_none(tmp_path: Path, search_path: str, script: str) -> None:
    write_helper(tmp_path, "test", script)
    assert ask_helper(HELPER, "config.json", search_path) is None


def test_a_helper_need_not_read_its_input(tmp_path: Path, search_path: str) -> None:
    file = write_helper(tmp_path, "test", "")
    file.write_text(f"#!/bin/sh\nexec <&-\necho '{ANSWER}'\n")
    assert ask_helper(HELPER, "config.json", search_path) == Credentials("helped", "hunter2")


def test_a_missing_helper_is_an_error_that_names_the_file(search_path: str) -> None:
    error = fail(search_path)
    assert error.got == "no such program on PATH"
    assert error.hint == "install it, or remove it from credsStore in config.json and log in again"
    assert error.exit_code == 8


def test_only_the_given_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_helper(tmp_path, "test", f"echo '{ANSWER}'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert fail("/nonexistent").got == "no such program on PATH"


def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path, search_path: str) -> None:
    write_helper(tmp_path, "test", "").write_text("#!/nonexistent/interpreter\n")
    assert fail(search_path).got == "No such file or directory"


def test_a_failed_helper_is_an_error_with_its_stderr_and_without_its_stdout(tmp_path: Path, search_path: str) -> None:
    write_helper(tmp_path, "test", f"echo '{ANSWER}'; printf 'locked\\n  password=hunter2\\n' >&2; exit 3")
    error = fail(search_path)
    assert error.got == "exit status 3"
    assert error.hint.startswith("it says 'locked password=***'; `echo ghcr.io | docker-credential-test get` shows")
    assert error.hint.endswith("config.json names it")


@pytest.mark.parametrize("answer", ["", "hunter2", '["hunter2"]', '{"Secret": "hunter2"}', '{"Username": "x"}'])
def test_an_answer_without_credentials_is_an_error(tmp_path: Path, search_path: str, answer: str) -> None:
    write_helper(tmp_path, "test", f"echo '{answer}'")
    assert fail(search_path).got == "an answer without Username and Secret"


@pytest.mark.parametrize("script", ["kill -TERM $$", "(kill -TERM $$); wait"])
def test_a_helper_that_a_signal_ends_is_an_error(tmp_path: Path, search_path: str, script: str) -> None:
    write_helper(tmp_path, "test", script)
    assert fail(search_path).got == "signal 15"


def test_endless_output_is_an_error(tmp_path: Path, search_path: str) -> None:
    write_helper(tmp_path, "test", "exec yes hunter2")
    assert fail(search_path).got == "more than 1.0 MiB"


def test_endless_complaints_are_an_error(tmp_path: Path, search_path: str) -> None:
    write_helper(tmp_path, "test", "exec yes locked >&2")
    error = fail(search_path)
    assert error.got == "signal 13"
    assert len(error.hint) < 600


def test_a_helper_that_does_not_answer_is_killed_with_its_children(tmp_path: Path, search_path: str) -> None:
    sleep = unique_sleep()
    write_helper(tmp_path, "test", f"{sleep} &\necho '{ANSWER}'\nwait")
    assert fail(search_path, limit=0.2).got == "no answer within 0.2 s"
    wait_until(lambda: not is_running(sleep))


def test_a_helper_that_closes_its_output_and_stays_is_killed(tmp_path: Path, search_path: str) -> None:
    sleep = unique_sleep()
    write_helper(tmp_path, "test", f"exec {sleep} >&- 2>&-")
    assert fail(search_path, limit=0.2).got == "no answer within 0.2 s"
    assert not is_running(sleep)


def test_a_daemon_that_keeps_the_output_open_does_not_block(tmp_path: Path, search_path: str) -> None:
    pid = tmp_path / "pid"
    write_helper(tmp_path, "test", f"setsid sh -c 'echo $$ >{pid}; exec sleep 300' &\necho '{ANSWER}'")
    assert fail(search_path, limit=0.3).got == "no answer within 0.3 s"
    os.kill(int(pid.read_text()), 9)


def test_no_secret_is_an_argument_of_the_helper(tmp_path: Path, search_path: str) -> None:
    write_helper(tmp_path, "test", f"tr '\\0' ' ' </proc/$$/cmdline >{tmp_path}/title\necho '{ANSWER}'")
    ask_helper(HELPER, "config.json", search_path)
    assert (tmp_path / "title").read_text() == f"/bin/sh {tmp_path}/docker-credential-test get "
