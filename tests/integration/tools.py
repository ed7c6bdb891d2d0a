"""Find outside tools, run them, start them as servers, and report missing ones.

A test whose tool is missing is skipped, with a reason that begins with the name of the tool; with --require-tools
(or LAMINA_REQUIRE_TOOLS=1, which the option sets) the test fails. A server does not outlive the test run, and its
mounts are private: every process that is started here is ended here, by its own pid.
"""

import os
import random
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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

import pytest

REQUIRE = "LAMINA_REQUIRE_TOOLS"

# The daemons are in these folders, which are often missing from the PATH of a user.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

# Variables that would make a tool use the configuration of its user, or a server that the tests did not start.
_FOREIGN = re.compile(r"(DOCKER|BUILDKIT|CONTAINERS?|CONTAINERD|PODMAN|STORAGE|REGISTRY|NIX)_")

_REASON = re.compile(r"(?:Skipped: |Failed: )?(\S+ is (?:not installed|unusable here: .*))")


class ToolError(Exception):
    """A tool exited with a status other than 0; the message has its command and its output."""


def find(name: str) -> str | None:
    """Return the full path of the tool, or None."""
    return shutil.which(name, path=_search_path())


def require(name: str, *others: str) -> str:
    """Return the full path of the tool.

    If it or one of ``others`` is missing, skip the test, or fail it under --require-tools.
    """
    for tool in (name, *others):
        if find(tool) is None:
            _skip_or_fail(f"{tool} is not installed")
    return find(name) or name


def skip_unusable(name: str, why: str) -> NoReturn:
    """Skip the test, or fail it under --require-tools, because the installed tool does not work on this machine."""
    _skip_or_fail(f"{name} is unusable here: {why.strip().splitlines()[-1]}", why)


def _skip_or_fail(reason: str, details: str = "") -> NoReturn:
    if os.environ.get(REQUIRE, "0") not in ("", "0"):
        pytest.fail(f"{reason}\n{details}".strip(), pytrace=False)
    pytest.skip(reason)


def count_missing(reasons: Iterable[str]) -> Counter[str]:
    """Count the tests that each missing tool prevented, from the reasons in the reports of pytest."""
    return Counter(match[1] for reason in reasons if (match := _REASON.match(reason)))


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a tool: that of this process, without the settings of the user's own engines."""
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
    """Yield the stream as a file that a process can inherit; a stream in memory is copied."""
    try:
        stream.fileno()
    except OSError:
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(stream, file)
            file.seek(0)
            yield file
    else:
        yield stream


def poll_until(is_ready: Callable[[], bool], seconds: float = 30) -> bool:
    """Call ``is_ready`` until it returns True; return False after ``seconds``."""
    end = time.monotonic() + seconds
    while not is_ready():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def start_server(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    log: Path,
    is_ready: Callable[[], bool],
    seconds: float = 60,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, and run the block once it answers; raise ToolError with the end of its log if it never answers.

    The command must remain one process (a wrapper has to exec), so that its pid is that of the server.
    """
    setpriv = find("setpriv")  # ends the server when pytest is killed
    tied = () if setpriv is None else (setpriv, "--pdeathsig", "TERM")
    with log.open("wb") as sink:
        # In its own session, the server does not receive Ctrl-C; pytest ends it in order.
        process = subprocess.Popen(
            (*tied, *command), env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        if not poll_until(lambda: process.poll() is not None or is_ready(), seconds) or process.poll() is not None:
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
    """Wrap a command: its mounts are private to it and its children, and the folders `hide` appear empty to them."""
    lines = (f"mkdir -p {folder} && mount -t tmpfs none {folder} || exit" for folder in map(shlex.quote, hide))
    script = "\n".join((*lines, 'exec "$@"'))
    unshare = (require("unshare"), "--mount", "--propagation", "private")
    return (*unshare, "/bin/sh", "-c", script, "sh", *map(str, command))


_HOLDER = ("/bin/sh", "-c", "echo ready && exec cat")


@contextmanager
def mount_namespace(env: Mapping[str, str], hide: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """Create a mount namespace for the block; yield the prefix of a command that runs it inside.

    Raise ToolError if this is not permitted. The folders `hide` are empty inside.
    """
    with _held_mounts(with_private_mounts(_HOLDER, hide), env) as target:
        yield (require("nsenter"), *target, "--")


@contextmanager
def other_system(prefix: Sequence[str], env: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Keep another system for the block; yield the prefix of a command that runs it inside.

    ``prefix`` is that of a command which runs in a mount namespace of its own, with another root; all commands of the
    block share one. Raise ToolError if it fails.
    """
    with _held_mounts((*prefix, *_HOLDER), env) as target:
        yield (require("nsenter"), *target, "--root", "--")


@contextmanager
def _held_mounts(holder: Sequence[str], env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Run ``holder``, which becomes a process that waits, for the block; yield the options of nsenter for it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(holder, env=env, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        # cat ends when its standard input is closed: at the end of the block, or when pytest ends.
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise ToolError(f"{holder[0]}: no mount namespace for us")
        yield ("--target", str(process.pid), "--mount")


def loopback_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now.

    It is none of those that Linux gives to connections and to servers that ask for any port, so that no other program
    gets it before the server of the test starts.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def fetch(port: int, path: str = "/", seconds: float = 30) -> bytes:
    """Return the body of http://127.0.0.1:PORT/path once a server answers. Raise ToolError if none does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    bodies: list[bytes] = []

    def try_fetch() -> bool:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=seconds) as response:
                bodies.append(response.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            return False
        return True

    if not poll_until(try_fetch, seconds):
        raise ToolError(f"nothing answers on 127.0.0.1:{port}")
    return bodies[0]
