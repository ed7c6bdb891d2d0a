"""Names from an image are escaped before they reach a terminal, in results, progress and errors alike."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import image_files
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import run

HOSTILE = "\x1b]0;pwned\x07\x1b[31mred\r\x9b2J\u202e\n"
# The escape sequences of the progress bars: they set colours, move and hide the cursor, and clear lines.
_BARS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*words: str | Path) -> bytes:
    """Run a verb with a terminal as stdout and stderr, and return everything that it writes."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-m", "lamina", *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment):
        os.close(follower)
        written = b""
        while True:
            try:
                data = os.read(leader, 1 << 16)
            except OSError:
                break
            if not data:
                break
            written += data
    os.close(leader)
    return written


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A docker-archive whose tag and layer have names with escape sequences."""
    content = image_files.layer("a")
    entry = {"RepoTags": [f"{HOSTILE}:1"]}
    (tmp_path / "image.tar").write_bytes(image_files.docker_archive({f"{HOSTILE}.tar": content}, entry=entry))
    return tmp_path / "image.tar"


@pytest.mark.parametrize("progress", mark_rest(["auto", "plain"], 1))
@pytest.mark.parametrize(
    "words",
    mark_rest(
        [
            ["inspect", "IMAGE"],
            ["diff", "IMAGE", "IMAGE", "--full"],
            ["merge", "IMAGE", "-o", "out.tar"],
            ["export", "IMAGE", "-o", "out.tar"],
            ["export", "IMAGE", "-o", "out.tar", "--image", HOSTILE],
            ["build", "--name", "x", "--dir", "/a", "--from-image", "IMAGE", "-o", "out.tar"],
            ["store", "gc", "--dry-run", "--store", "none", "IMAGE"],
            ["inspect", f"./{HOSTILE}"],
            ["build", "--name", "x", "--dir", "/a", "-o", f"{HOSTILE.strip()}.tar"],
            ["plan", "--config", HOSTILE],
        ],
        1,
    ),
)
def test_names_are_escaped_on_a_terminal(
    words: list[str], progress: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(image) if word == "IMAGE" else word for word in words]
    written = on_terminal(*words, "--progress", progress)
    assert written
    left = _BARS.sub(b"", written.replace(HOSTILE.encode(), b"HOSTILE"))
    assert b"HOSTILE" not in left
    for bad in ("\x1b]", "\x1b[31mred", "\x07", "\x9b", "\u202e"):
        assert bad.encode() not in written, written


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("status", mark_rest([3, 0], 1))
def test_the_output_of_a_script_is_escaped_on_a_terminal(status: int, tmp_path: Path) -> None:
    script = f"printf '\\e[31mred\\e]0;title\\a\\tone\\ntwo\\n'; exit {status}"
    words = ["build", "--name", "x", "--no-sandbox", "--extra-commands", script, "-o", f"{tmp_path}/out.tar"]
    written = on_terminal(*words)
    assert rb"\x1b[31mred\x1b]0;title\x07" in written
    assert b"one\r\ntwo\r\n" in written
    assert b"\x1b]0" not in written


@pytest.mark.parametrize("words", [["merge", "IMAGE", "-o", "out"], ["export", "IMAGE", "-o", "out"]])
def test_a_progress_line_repeats_only_a_part_of_a_long_name(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{'q' * 100}/{number}:1" for number in range(100)]
    archive = image_files.docker_archive({"q" * 50_000: image_files.layer("a")}, entry={"RepoTags": names})
    Path("image.tar").write_bytes(archive)
    ran = run(*["image.tar" if word == "IMAGE" else word for word in words])
    assert ran.code == 0, ran.stderr
    assert max(map(len, ran.stderr.splitlines())) < 600
