"""Interrupt lamina by a signal at a chosen moment: just before a certain line of Python is executed.

A run is a forked child of one process that has imported everything, so that hundreds of runs take only seconds. The
lines that the main thread executes are counted, in lamina and in the modules of Python that it uses to clean up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SERVER = r"""
import contextlib, faulthandler, importlib, json, os, signal, sys, traceback
import lamina
COUNTED = (os.path.dirname(lamina.__file__), *(
    os.path.join(os.path.dirname(os.__file__), name)
    for name in ("contextlib", "threading", "weakref", "subprocess", "shutil", "tempfile", "concurrent", "queue")
))
# A run that hangs ends with the stacks of its threads on stderr, and the exit code 1.
RUN_LIMIT_SECONDS = 60

def counted(at, number):
    left = at
    files = {}
    def lines(frame, event, argument):
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                if number == signal.SIGKILL:
                    os.kill(os.getpid(), number)
                signal.raise_signal(number)
        return lines
    def calls(frame, event, argument):
        name = frame.f_code.co_filename
        if name not in files:
            files[name] = name.startswith(COUNTED) and "signal_injection" not in name
        return lines if files[name] else None
    return calls, lambda: at - left

def child(task):
    os.chdir(task["folder"])
    os.environ.update(task["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(task["folder"], name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    faulthandler.dump_traceback_later(RUN_LIMIT_SECONDS, exit=True, file=sys.stderr)
    sys.argv = ["lamina", *task["arguments"]]
    import lamina.cli.start
    lamina.cli.start.is_program = True
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lamina.cli.start.end_at_once)
    if task["workers"]:
        from lamina.layers.context import BuildContext
        BuildContext.worker_count = lambda self, size, limit: 2
    calls, count = counted(task["at"], task["signal"])
    sys.settrace(calls)
    try:
        lamina.cli.start.main()
    except SystemExit as error:
        sys.settrace(None)
        print(json.dumps([count(), sorted(sys.modules)]), file=open(os.path.join(task["folder"], "count"), "w"))
        import atexit
        atexit._run_exitfuncs()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(error.code or 0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(99)

for line in sys.stdin:
    task = json.loads(line)
    for name in task["modules"]:
        if name != "__main__":
            with contextlib.suppress(ImportError):  # a submodule of a module written in C
                importlib.import_module(name)
    number = os.fork()
    if not number:
        try:
            child(task)
        finally:
            os._exit(98)
    _, status = os.waitpid(number, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
_NEVER = 1 << 40


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """The result of a run: its exit code, or minus the number of the signal, and its output."""

    code: int
    stdout: str
    stderr: str


class Interrupter:
    """Runs lamina in ``folder``, and writes its output there."""

    def __init__(self, requests: IO[str], replies: IO[str], folder: Path) -> None:
        self._requests, self._replies = requests, replies
        self._folder = folder
        self._modules: list[str] = []

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        number: int = 0,
        at: int = _NEVER,
        workers: bool = False,
        environment: Mapping[str, str] = {},
    ) -> InterruptedRun:
        """Run lamina with ``environment`` added to this process's; send the signal ``number`` before line ``at``."""
        task = {
            "arguments": list(map(str, arguments)),
            "folder": str(self._folder),
            "environment": dict(environment),
            "modules": self._modules,
            "at": at,
            "signal": int(number),
            "workers": workers,
        }
        self._requests.write(json.dumps(task) + "\n")
        self._requests.flush()
        code = int(self._replies.readline())
        return InterruptedRun(code, *((self._folder / name).read_text() for name in ("stdout", "stderr")))

    def lines(
        self, arguments: Sequence[str | Path], *, workers: bool = False, environment: Mapping[str, str] = {}
    ) -> int:
        """Run lamina to its end, and return the number of lines; later runs start with the modules it imported."""
        ended = self.run(arguments, workers=workers, environment=environment)
        assert ended.code == 0, ended.stderr
        count, self._modules = json.loads((self._folder / "count").read_text())
        return int(count)


@contextmanager
def interrupter(folder: Path) -> Iterator[Interrupter]:
    """Start an `Interrupter` for the block; its runs end with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as server:
        assert server.stdin
        assert server.stdout
        try:
            yield Interrupter(server.stdin, server.stdout, folder)
        finally:
            server.stdin.close()
            server.kill()
