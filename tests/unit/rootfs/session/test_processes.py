"""Descendants of a process: listing and ending them, and telling whether they hang."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.processes import is_running, unique_sleep, wait_until

from lamina.rootfs.session import processes

SLEEP = unique_sleep()

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")


@pytest.fixture
def session() -> Iterator[subprocess.Popen[bytes]]:
    """A session like that of a script: a first process, and one in its own process group that waits for another."""
    script = f"set -m; ({SLEEP}; true) & exec 2>/dev/null; wait; sleep 300"
    with subprocess.Popen(["bash", "-c", script], start_new_session=True) as first:
        wait_until(lambda: is_running(SLEEP))
        yield first
        processes.kill_descendants(first.pid)
        first.kill()


def stop(process: processes.Process) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(
        lambda: any(found.is_stopped for found in processes.list_descendants(os.getpid()) if found.pid == process.pid)
    )


def test_a_session_that_waits_is_not_hung(session: subprocess.Popen[bytes]) -> None:
    assert [found.name for found in processes.list_descendants(session.pid)] == ["bash", "sleep"]
    assert not processes.is_hung(session.pid)


def test_a_session_is_hung_if_its_first_process_is_stopped(session: subprocess.Popen[bytes]) -> None:
    session.send_signal(signal.SIGSTOP)
    wait_until(lambda: processes.is_hung(session.pid))


def test_a_session_is_hung_if_every_process_of_the_script_is_stopped(session: subprocess.Popen[bytes]) -> None:
    shell, sleep = processes.list_descendants(session.pid)
    stop(sleep)
    assert not processes.is_hung(session.pid)
    stop(shell)
    assert processes.is_hung(session.pid)


def test_all_descendants_but_one_are_killed(session: subprocess.Popen[bytes]) -> None:
    shell, _ = processes.list_descendants(session.pid)
    processes.kill_descendants(session.pid, except_pid=shell.pid)
    assert not is_running(SLEEP)
    assert session.poll() is None


def test_the_rest_of_a_session_is_killed_after_its_first_process_ended() -> None:
    script = f"({SLEEP} & {SLEEP}) & {SLEEP} & kill -KILL $$"
    with subprocess.Popen(["bash", "-c", script], start_new_session=True) as first:
        first.wait()
        processes.kill_session(first.pid)
    assert not is_running(SLEEP)


@pytest.mark.parametrize("name", ["a b", "a) S 1 2 3 (b", ")", ""])
def test_a_name_may_contain_any_characters(name: str) -> None:
    found = processes._parse_stat(f"12 ({name}) T 3 4 5 6 7\n")
    assert found == processes.Process(12, name, "T", 3, 4, 5)
    assert found.is_stopped
