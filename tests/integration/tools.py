"""Outside tools: finding them, running them, starting them as servers, and saying which are missing.

A test whose tool is not there is skipped with a reason that begins with the tool's name; with --require-tools
(or LAMINA_REQUIRE_TOOLS=1, which it sets) the same test fails. A server does not outlive the test run, and
what it mounts is seen by nobody else: every process started here is ended here, by its own pid.
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NoReturn

import pytest

REQUIRE = "LAMINA_REQUIRE_TOOLS"

# A user's shell often leaves these out, and the daemons are there.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

# What would make a tool use its user's configuration or another server than ours.
_FOREIGN = re.compile(r"(DOCKER|BUILDKIT|CONTAINERS?|CONTAINERD|PODMAN|STORAGE|REGISTRY|NIX)_")

_REASON = re.compile(r"(?:Skipped: |Failed: )?(\S+ is (?:not installed|unusable here: .*))")


class ToolError(Exception):
    """A tool ended with another exit status than 0; the message has its command and what it said."""


def find(name: str) -> str | None:
    """The tool's full path, or None."""
    return shutil.which(name, path=_search_path())


def require(name: str) -> str:
    """The tool's full path; without it the test is skipped, or fails under --require-tools."""
    found = find(name)
    if found is None:
        _give_up(f"{name} is not installed")
    return found


def unusable(name: str, why: str) -> NoReturn:
    """Skip the test, or fail it under --require-tools: the tool is there, but this machine stops it."""
    _give_up(f"{name} is unusable here: {why.strip().splitlines()[-1]}", why)


def _give_up(reason: str, details: str = "") -> NoReturn:
    if os.environ.get(REQUIRE, "0") not in ("", "0"):
        pytest.fail(f"{reason}\n{details}".strip(), pytrace=False)
    pytest.skip(reason)


def tally(reasons: Iterable[str]) -> Counter[str]:
    """How many tests each missing tool has stopped, from the reasons in pytest's reports."""
    return Counter(match[1] for reason in reasons if (match := _REASON.match(reason)))


def environment(**changes: str) -> dict[str, str]:
    """The environment of a tool: ours without the settings of the user's own engines."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return kept | {"PATH": _search_path(), "LC_ALL": "C.UTF-8"} | changes


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_MORE_FOLDERS))


def run(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    *,
    stdin: IO[bytes] | None = None,
    check: bool = True,
    timeout: float = 900,
) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end. Bytes of its output that are not UTF-8 become surrogate escapes."""
    with ExitStack() as stack:
        feed = subprocess.DEVNULL if stdin is None else stack.enter_context(_as_file(stdin))
        done = subprocess.run(command, env=env, stdin=feed, capture_output=True, timeout=timeout, check=False)
    out, err = (part.decode(errors="surrogateescape") for part in (done.stdout, done.stderr))
    if check and done.returncode != 0:
        words = " ".join(map(str, command))
        raise ToolError(f"{words}: exit status {done.returncode}\n{err.strip() or out.strip()}")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


@contextmanager
def _as_file(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """The stream as one that a process can inherit; a stream in memory is copied."""
    try:
        stream.fileno()
    except OSError:
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(stream, file)
            file.seek(0)
            yield file
    else:
        yield stream


def until(answers: Callable[[], bool], seconds: float = 30) -> bool:
    """Ask again and again until the answer is yes; False if it never was."""
    end = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def server(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    log: Path,
    answers: Callable[[], bool],
    seconds: float = 60,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers, until the end of the block; ToolError with the end of its log if it never does.

    The command has to stay one process (exec what it wraps), so that its pid is the server's.
    """
    setpriv = find("setpriv")  # then it ends too where pytest is killed
    tied = () if setpriv is None else (setpriv, "--pdeathsig", "TERM")
    with log.open("wb") as sink:
        # A session of its own: Ctrl-C is pytest's, which then ends the server in order.
        nothing = subprocess.DEVNULL
        process = subprocess.Popen(
            (*tied, *command), env=env, stdin=nothing, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        if not until(lambda: process.poll() is not None or answers(), seconds) or process.poll() is not None:
            end = log.read_text(errors="replace").strip().splitlines()[-5:]
            raise ToolError(f"{' '.join(map(str, command))}: does not answer\n" + "\n".join(end))
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def with_private_mounts(command: Sequence[str | Path], hide: Sequence[str] = ()) -> tuple[str, ...]:
    """The command so that it and its children alone see what it mounts, and the folders `hide` as empty."""
    lines = (f"mkdir -p {folder} && mount -t tmpfs none {folder} || exit" for folder in map(shlex.quote, hide))
    script = "\n".join((*lines, 'exec "$@"'))
    unshare = (require("unshare"), "--mount", "--propagation", "private")
    return (*unshare, "/bin/sh", "-c", script, "sh", *map(str, command))


@contextmanager
def mount_namespace(env: Mapping[str, str], hide: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """A mount namespace for the block; yields what to put before a command so that it runs in there.

    ToolError where this is not permitted. The folders `hide` are empty inside.
    """
    holder = with_private_mounts(("/bin/sh", "-c", "echo ready && exec cat"), hide)
    pipe = subprocess.PIPE
    with subprocess.Popen(holder, env=env, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        # The end of the block closes its standard input, and so does the end of pytest: then cat ends.
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise ToolError("unshare: no mount namespace for us")
        yield (require("nsenter"), "--target", str(process.pid), "--mount", "--")


def loopback_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def fetch(port: int, path: str = "/", seconds: float = 30) -> bytes:
    """The body of http://127.0.0.1:PORT/path, as soon as a server is there. ToolError where none comes."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    bodies: list[bytes] = []

    def answers() -> bool:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=seconds) as response:
                bodies.append(response.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            return False
        return True

    if not until(answers, seconds):
        raise ToolError(f"nothing answers on 127.0.0.1:{port}")
    return bodies[0]
