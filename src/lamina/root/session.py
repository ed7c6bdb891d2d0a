"""A program of its own: runs one script and lists what it left, from inside whatever session it was started in.

Invariant: imports the standard library alone, and ends all that the script began: when the script ends, when its time
is up, and when nobody holds the other end of its stdin any more.

Inside a fakeroot session the listing shows the owners, modes and extended attributes that the script gave, which are
nowhere on disk, and some of them (the extended attributes) in no file that fakeroot can save.

    python -I -S session.py TASK        TASK: a JSON object, the fields of `Task`
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Task(NamedTuple):
    """What is to be done: ``command`` runs in ``root``, then that is listed, and the result is in ``result``.

    ``proot``, where not empty, goes before the command; what has to be bound into its root beside that is found here,
    where the session's own library is known. ``environment`` is put over the session's; ``limit`` is in seconds, 0 for
    none; ``fake`` says that all files have to be root's in this session, as under fakeroot.
    """

    command: list[str]
    environment: dict[str, str]
    root: str
    result: str
    limit: float
    fake: bool
    proot: list[str]


class Entry(NamedTuple):
    """What a script left: its path, mode with the kind in it, owner, extended attributes; texts are in hex."""

    path: str
    mode: int
    uid: int
    gid: int
    xattrs: dict[str, str]


def main(task: Task) -> None:
    """Runs the script and writes the result, a JSON object: ``status`` and ``entries``."""
    if task.fake and os.lstat(task.root).st_uid != 0:
        sys.exit("fakeroot's library is not at work in its session")
    status = _run(_command(task), task)
    entries = list(_entries(os.fsencode(task.root))) if status == 0 else []
    with open(task.result, "w", encoding="ascii") as file:
        json.dump({"status": status, "entries": entries}, file)


def _run(command: list[str], task: Task) -> int | None:
    """The script's exit status, or minus the signal that ended it; None where its time was up."""
    environment = os.environ | task.environment
    process = subprocess.Popen(command, cwd=task.root, env=environment, stdin=subprocess.DEVNULL, process_group=0)
    threading.Thread(target=_watch, args=(process.pid,), daemon=True).start()
    try:
        return process.wait(task.limit or None)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process.pid)
        process.wait()


def _watch(group: int) -> None:
    """Ends the script when stdin does, for then nobody waits for it."""
    while os.read(0, 1):
        pass
    _end(group)
    os._exit(1)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _command(task: Task) -> list[str]:
    """The script's command; under proot, the session's library is loaded inside and not into proot itself."""
    if not task.proot:
        return task.command
    preload = os.environ.pop("LD_PRELOAD", "")
    folders = os.environ.pop("LD_LIBRARY_PATH", "")
    binds = [f"--bind={folder}:{folder}!" for folder in folders.split(":") if folder and os.path.isdir(folder)]
    bash, *rest = task.command
    enter = 'export LD_PRELOAD="$1" LD_LIBRARY_PATH="$2"; shift 2; exec "$@"'
    return [*task.proot, *binds, bash, "-c", enter, bash, preload, folders, bash, *rest]


def _entries(top: bytes) -> Iterator[Entry]:
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        place = os.path.join(top, path) if path else top
        # What cannot be read is found out where the files are taken up.
        with contextlib.suppress(OSError):
            status = os.lstat(place)
            yield Entry(path.hex(), status.st_mode, status.st_uid, status.st_gid, _xattrs(place))
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(place) as found:
                    waiting += [os.path.join(path, entry.name) for entry in found]


def _xattrs(place: bytes) -> dict[str, str]:
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = os.listxattr(place, follow_symlinks=False)
        return {name: os.getxattr(place, name, follow_symlinks=False).hex() for name in names if _is_of_the_image(name)}
    except OSError:  # the file system has none
        return {}


def _is_of_the_image(name: str) -> bool:
    """Whether an attribute belongs to the file, not to this machine: its labels, its access lists, its overlays."""
    return name == "security.capability" or name.startswith("user.")


def _task(text: str) -> Task:
    fields: dict[str, Any] = json.loads(text)
    return Task(**fields)


if __name__ == "__main__":
    main(_task(Path(sys.argv[1]).read_text(encoding="ascii")))
