"""A session and a short program: their results, and that all their processes end with them."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from tests.support.processes import is_running, unique_sleep, wait_until

from lamina.rootfs import session_runner
from lamina.rootfs.session_runner import Session, SessionEnd, SessionResult, open_pipe, run_program, run_session

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs sessions")
BASH = "/bin/bash"


def run(script: str, limit: float | None = None) -> tuple[SessionResult, bytes]:
    """Run a session of bash, whose descriptor for the result is its argument; return its result and its output."""
    reader, writer = open_pipe()
    with reader, writer, tempfile.TemporaryFile() as output:
        command = [BASH, "-c", script, "bash", str(writer.fileno())]
        session = Session(command, writer, {"PATH": os.defpath, "WORD": "x"})
        result = run_session(session, reader, output, limit)
        output.seek(0)
        return result, output.read()


def test_a_session_gives_its_result_and_its_output_apart() -> None:
    result, output = run('echo out; echo err >&2; echo "$WORD" >&$1')
    assert result == SessionResult(b"x\n", SessionEnd.EXITED)
    assert output == b"out\nerr\n"


def test_a_long_result_is_read_to_its_end() -> None:
    result, _ = run("head -c 3000000 /dev/zero >&$1")
    assert result.text == bytes(3_000_000)


def test_a_session_ends_at_its_limit_with_all_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_runner, "_GRACE_PERIOD", 0.3)
    sleep = unique_sleep()
    result, _ = run(f"(trap '' TERM HUP; {sleep}) & {sleep}", 0.3)
    assert result == SessionResult(b"", SessionEnd.TIMED_OUT)
    wait_until(lambda: not is_running(sleep))


@pytest.mark.integration
def test_a_session_that_stopped_itself_is_ended() -> None:
    result, _ = run("kill -STOP $$")
    assert result.end is SessionEnd.STOPPED


def test_processes_that_a_session_leaves_behind_are_ended() -> None:
    sleep = unique_sleep()
    result, _ = run(f"{sleep} & echo done >&$1")
    assert result.text == b"done\n"
    wait_until(lambda: not is_running(sleep))


def test_a_program_has_a_status_and_a_text(tmp_path: Path) -> None:
    found = run_program([BASH, "-c", "pwd; echo err >&2; exit 3"], tmp_path, 60)
    assert found.status == 3
    assert found.text == f"{tmp_path}\nerr\n"
    environment = run_program(["/usr/bin/env"], tmp_path, 60).text
    assert "HOME=" not in environment


def test_a_program_that_does_not_end_in_time_is_an_error(tmp_path: Path) -> None:
    sleep = unique_sleep()
    with pytest.raises(TimeoutError, match=r"no end within 0\.3 s"):
        run_program([BASH, "-c", f"{sleep}; true"], tmp_path, 0.3)
    wait_until(lambda: not is_running(sleep))
    with pytest.raises(OSError, match="nothing"):
        run_program([str(tmp_path / "nothing")], tmp_path, 60)
