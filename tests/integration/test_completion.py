"""Real shells complete lamina's command lines after they have read the script of ``lamina completion``."""

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.tools import environment, require

_SECONDS = 30
_CASES = [
    ("lamina insp", "lamina inspect"),
    ("lamina store verif", "lamina store verify"),
    ("lamina help store verif", "lamina help store verify"),
    ("lamina plan --max-la", "lamina plan --max-layers"),
    ("lamina build --compressor zs", "lamina build --compressor zstd"),
    ("lamina build --compressor=zs", "lamina build --compressor=zstd"),
    ("lamina build --with nss,cer", "lamina build --with nss,certs"),
    ("lamina inspect ima", "lamina inspect image.tar"),
    ("lamina store ls --store fold", "lamina store ls --store folder/"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a file and a folder to complete, and lamina on PATH."""
    (tmp_path / "image.tar").touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


def prepare_environment(folder: Path) -> dict[str, str]:
    program = shutil.which("lamina")
    assert program
    path = os.pathsep.join([str(Path(program).parent), os.environ["PATH"]])
    return {**environment(HOME=str(folder), TERM="dumb", PS1="$ "), "PATH": path}


@contextmanager
def interactive(folder: Path, *command: str) -> Iterator[int]:
    """Start a shell on a terminal, and yield the terminal's descriptor."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=folder,
        env=prepare_environment(folder),
        start_new_session=True,
    ) as shell:
        os.close(follower)
        try:
            yield leader
        finally:
            shell.kill()
            os.close(leader)


def read_until(terminal: int, text: str) -> str:
    """Return what the shell prints, up to ``text``."""
    shown = ""
    end = time.monotonic() + _SECONDS
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], max(end - time.monotonic(), 0))
        assert ready, f"the shell did not print {text!r} but {shown!r}"
        shown += os.read(terminal, 1 << 16).decode(errors="replace").replace("\a", "")
    return shown


@pytest.mark.parametrize(
    ("shell", "setup"),
    [
        (["bash", "--norc", "--noprofile", "-i"], 'bind "set enable-bracketed-paste off"; '),
        (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u; "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_shell_completes_what_is_typed(folder: Path, shell: list[str], setup: str) -> None:
    require(shell[0])
    with interactive(folder, *shell) as terminal:
        os.write(terminal, f'{setup}eval "$(lamina completion {shell[0]})"; echo set"up"\n'.encode())
        read_until(terminal, "\nsetup") if shell[0] == "zsh" else read_until(terminal, "setup\r\n")
        for typed, expected in _CASES:
            os.write(terminal, f"{typed}\t".encode())
            read_until(terminal, expected)
            os.write(terminal, b"\x15")  # Ctrl-U drops the line


def test_fish_completes_what_is_typed(folder: Path) -> None:
    fish = require("fish")
    commands = ["lamina completion fish | source"]
    commands += [f"echo '{expected}'; complete -C '{typed}'" for typed, expected in _CASES]
    ran = subprocess.run(
        [fish, "--no-config", "-c", "; ".join(commands)],
        cwd=folder,
        env=prepare_environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("\t")[0] for line in ran.stdout.splitlines()]
    for _, expected in _CASES:
        assert lines[lines.index(expected) + 1] == expected.rsplit(" ", 1)[1], ran.stdout
