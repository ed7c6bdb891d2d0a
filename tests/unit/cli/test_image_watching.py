"""``lamina load --watch`` loads again when a file that the image is made of changes, until a signal ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.engine_programs import REMOTE_DOCKER, install_program
from tests.support.fake_nix_store import MODULE, FakeStore, example, run

WORDS = ("load", "--into", "docker", "--watch", "--no-layer-cache", "-t", "hello:1")


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


class Watching:
    """A process that watches, and its lines on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr
        self._lines = process.stderr

    def wait_for(self, text: str) -> str:
        """Read until a line has ``text``, and return all lines until then."""
        read = ""
        while text not in read:
            line = self._lines.readline()
            assert line, f"ended without {text!r}: {read}"
            read += line
        return read


@contextmanager
def start(folder: Path, store: FakeStore, *words: str) -> Iterator[Watching]:
    programs = install_program(folder / "bin", "docker", REMOTE_DOCKER)
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = (*MODULE, *WORDS, "--store", str(store.root), *words)
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        limit = threading.Timer(120, process.kill)  # a line that never comes ends the test
        limit.start()
        try:
            yield Watching(process)
        finally:
            limit.cancel()
            process.kill()


def test_the_image_is_loaded_again_when_a_file_changes(tmp_path: Path, store: FakeStore) -> None:
    (tmp_path / "motd").write_text("one")
    with start(tmp_path, store, "hello", "--file", "/etc/motd=motd") as watching:
        first = watching.wait_for("watching 1 file;")
        (tmp_path / "motd").write_text("two")
        second = watching.wait_for("watching 1 file;")
        assert "motd changed" in second
        summaries = [line for line in (first + second).splitlines() if line.startswith("hello:1")]
        assert len({line.split()[1] for line in summaries}) == 2
        watching.process.send_signal(signal.SIGINT)
        assert watching.process.wait(60) == 130


def test_an_error_is_printed_and_the_next_change_is_another_try(tmp_path: Path, store: FakeStore) -> None:
    spec = tmp_path / "lamina.toml"
    spec.write_text('[app]\ncontents = ["hello"]\n')
    with start(tmp_path, store, "--spec", "lamina.toml#app") as watching:
        watching.wait_for("watching 1 file;")
        spec.write_text('[app]\ncontents = ["none"]\n')
        assert "no valid path of that name" in watching.wait_for("watching 1 file;")
        (tmp_path / "note").write_text("")
        spec.write_text('[app]\ncontents = ["hello"]\ntree = [{file = "/note=note"}]\n')
        assert "hello:1" in watching.wait_for("watching 2 files;")
        (tmp_path / "note").write_text("changed")
        assert "note changed" in watching.wait_for("watching 2 files;")


def test_nothing_that_can_change_is_an_error(store: FakeStore) -> None:
    ran = run(*WORDS, "hello", "--store", store.root)
    assert (ran.code, ran.error) == (2, "--watch: got no file that can change, expected at least one")
