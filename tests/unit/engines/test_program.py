"""The program of an engine is run with its messages and an environment; an archive is written to its stdin."""

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from lamina.engines.program import EngineProgram
from lamina.errors import FormatError, OutputError


def make_program(folder: Path, script: str, **variables: str | None) -> EngineProgram:
    file = folder / "engine"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return EngineProgram("engine", str(file), variables)


def test_the_output_of_a_call_is_returned(tmp_path: Path) -> None:
    assert make_program(tmp_path, 'echo "$@"').call("tag", "a", "b c") == "tag a b c\n"


def test_variables_are_set_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOVED", "1")
    program = make_program(tmp_path, 'echo "$SET ${REMOVED-none}"', SET="value", REMOVED=None)
    assert program.call() == "value none\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'Error: no such image' >&2; echo '* dir: not a directory' >&2; exit 125", "Error: no such image"),
        ("echo pulling >&2; echo 'ctr: not found' >&2; exit 1", "ctr: not found"),
        ("exit 3", "no message"),
    ],
)
def test_an_error_has_the_message_of_the_program(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(OutputError, match=said) as raised:
        make_program(tmp_path, script).call("pull", "--quiet", "image")
    assert raised.value.subject == "engine pull"


def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    program = EngineProgram("engine", str(tmp_path / "none"))
    for call in (program.call, program.replace_process, lambda: program.feed(lambda _: None)):
        with pytest.raises(OutputError, match="engine"):
            call()


def test_an_archive_is_written_to_the_program(tmp_path: Path) -> None:
    make_program(tmp_path, f'cat > "{tmp_path}/received"').feed(lambda out: out.write(b"archive" * 100_000), "load")
    assert (tmp_path / "received").read_bytes() == b"archive" * 100_000


def test_a_program_that_ends_early_has_the_message(tmp_path: Path) -> None:
    program = make_program(tmp_path, "echo 'Error: disk full' >&2; exit 1")

    def write(out: IO[bytes]) -> None:
        for _ in range(1000):
            out.write(b"x" * 65536)

    with pytest.raises(OutputError, match="disk full"):
        program.feed(write, "load")


def test_a_program_that_prints_much_does_not_block(tmp_path: Path) -> None:
    program = make_program(tmp_path, "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; cat > /dev/null")
    program.feed(lambda out: out.write(b"x" * 1_000_000), "load")


def test_an_error_of_the_writer_is_passed_on(tmp_path: Path) -> None:
    def write(out: IO[bytes]) -> None:
        raise FormatError("file", "a socket", "a file")

    with pytest.raises(FormatError, match="a socket"):
        make_program(tmp_path, "cat > /dev/null").feed(write, "load")


def test_the_program_ends_when_writing_is_interrupted(tmp_path: Path) -> None:
    def write(out: IO[bytes]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_program(tmp_path, "exec sleep 600").feed(write, "load")


def test_the_process_becomes_the_program(tmp_path: Path) -> None:
    program = make_program(tmp_path, 'echo "$1"; exit 7')
    code = f"from lamina.engines.program import *; EngineProgram('e', {program.path!r}).replace_process('x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "x\n", "")
