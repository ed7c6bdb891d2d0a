"""Locks between processes, by the path of a file or folder."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.errors import Unavailable
from lamina.system.locks import FileLock

_HOLD = """
import sys
from pathlib import Path
from lamina.system.locks import FileLock
lock = FileLock(Path(sys.argv[1]), "it", shared=sys.argv[2] == "shared")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _other_process(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLD, str(path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def _is_free(path: Path, *, shared: bool) -> bool:
    try:
        FileLock(path, "it", shared=shared, timeout=0).release()
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize(("kind", "others_may_share"), [("shared", True), ("exclusive", False)])
@pytest.mark.parametrize("is_folder", [False, True])
def test_only_shared_locks_go_together(tmp_path: Path, kind: str, others_may_share: bool, is_folder: bool) -> None:
    path = tmp_path if is_folder else tmp_path / "lock"
    with _other_process(path, kind):
        assert _is_free(path, shared=True) is others_may_share
        assert not _is_free(path, shared=False)
    assert _is_free(path, shared=False)


def test_a_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    with _other_process(tmp_path, "exclusive") as process:
        process.kill()
        process.wait()
        assert _is_free(tmp_path, shared=False)


def test_the_error_names_what_is_locked(tmp_path: Path) -> None:
    with FileLock(tmp_path, "it"), pytest.raises(Unavailable) as caught:
        FileLock(tmp_path, "store /s", timeout=0.02)
    assert str(caught.value) == "store /s: got another process that uses it, expected no other process"
    assert caught.value.hint == "try again when that process has finished"


def test_a_lock_is_taken_as_soon_as_another_thread_releases_it(tmp_path: Path) -> None:
    with FileLock(tmp_path, "it", shared=True) as lock:
        waiting = threading.Thread(target=lambda: FileLock(tmp_path, "it", timeout=60).release())
        waiting.start()
        assert waiting.is_alive()
        lock.release()
        waiting.join(60)
    assert not waiting.is_alive()


def test_a_file_keeps_its_content_and_a_missing_one_is_created(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"content")
    with FileLock(old, "it"), FileLock(new, "it"):
        assert (old.read_bytes(), new.read_bytes()) == (b"content", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_only_be_read_can_be_locked(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.touch(0o444)
    with FileLock(file, "it"):
        assert not _is_free(file, shared=True)


def test_without_locks_in_the_file_system_the_block_runs_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with FileLock(tmp_path, "it", timeout=60) as lock:
        assert not lock.is_held


def test_a_path_that_cannot_be_opened_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with FileLock(tmp_path / "file/lock", "it") as lock:
        assert not lock.is_held


def test_a_lock_that_nobody_refers_to_is_released(tmp_path: Path) -> None:
    lock = FileLock(tmp_path, "it")
    assert not _is_free(tmp_path, shared=True)
    del lock
    assert _is_free(tmp_path, shared=True)
