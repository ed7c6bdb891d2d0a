"""A program of its own: runs one script and lists what it left, from inside whatever session it was started in.

Invariant: imports the standard library alone, and ends all that the script began: when the script ends, when its time
is up, and when nobody holds the other end of its stdin any more.

Inside a fakeroot session the listing shows the owners, modes and extended attributes that the script gave, which are
nowhere on disk, and some of them (the extended attributes) in no file that fakeroot can save.

    python -I -S session.py TASK        TASK: a JSON object, the fields of `Task`
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_SET_CHILD_SUBREAPER = 36
# sched.h, CLONE_NEWNS; sys/mount.h, MS_REC | MS_PRIVATE, MS_BIND | MS_REC, MS_REMOUNT | MS_BIND | MS_RDONLY.
_NEW_MOUNTS = 0x20000
_PRIVATE = 0x4000 | 0x40000
_BIND = 0x1000 | 0x4000
_READ_ONLY = 0x20 | 0x1000 | 0x1
_LONGEST_STATUS = 16
# How often, and seconds between: a process that has been killed may take a moment to go.
_TRIES = 200
_PAUSE = 0.01
# How many seconds proot takes to end at the most.
_PATIENCE = 10


class Task(NamedTuple):
    """What is to be done: ``command`` runs in ``root``, then that is listed, and the result is in ``result``.

    ``proot``, where not empty, goes before the command; what has to be bound into its root beside that is found here,
    where the session's own library is known; ``shown`` are the folders of this machine that it shows. ``environment``
    is put over the session's; ``limit`` is in seconds, 0 for none; ``fake`` says that all files have to be root's in
    this session, as under fakeroot.
    """

    command: list[str]
    environment: dict[str, str]
    root: str
    result: str
    limit: float
    fake: bool
    proot: list[str]
    shown: list[str]


class Entry(NamedTuple):
    """What a script left: its path, mode with the kind in it, owner, extended attributes; texts are in hex."""

    path: str
    mode: int
    uid: int
    gid: int
    xattrs: dict[str, str]


def main(task: Task) -> None:
    """Runs the script and writes the result, a JSON object: ``status`` and ``entries``."""
    if task.fake:
        _check_fakeroot(task.root)
    _adopt_orphans()
    _protect(task.shown)
    status = _run(task)
    entries = list(_entries(os.fsencode(task.root))) if status == 0 else []
    with open(task.result, "w", encoding="ascii") as file:
        json.dump({"status": status, "entries": entries}, file)


def _check_fakeroot(root: str) -> None:
    """Ends the session where fakeroot's library is not at work: of that the loader says no more than a warning."""
    if os.lstat(root).st_uid != 0:
        sys.exit("fakeroot's library: got none at work, expected it in the session")
    names = [os.path.basename(name) for name in os.environ.get("LD_PRELOAD", "").split(":") if name]
    with contextlib.suppress(FileNotFoundError):
        loaded = Path("/proc/self/maps").read_bytes()
        for name in names:
            if os.fsencode(name) not in loaded:
                sys.exit(f"{name}: got it left out by the loader, expected it in the session")


def _adopt_orphans() -> None:
    """Makes this process the parent of all whose own has ended (Linux: prctl, PR_SET_CHILD_SUBREAPER)."""
    with contextlib.suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _protect(folders: list[str]) -> None:
    """Makes ``folders`` read-only for this process and what it begins, where that is allowed.

    Whoever has the right to mount may else change the machine where a script means the image's root.
    """
    with contextlib.suppress(OSError, AttributeError, ImportError):
        import ctypes

        libc = ctypes.CDLL(None)
        if not folders or libc.unshare(_NEW_MOUNTS) or libc.mount(b"none", b"/", None, _PRIVATE, None):
            return
        for folder in map(os.fsencode, folders):
            libc.mount(folder, folder, None, _BIND, None)
            libc.mount(None, folder, None, _READ_ONLY, None)


def _run(task: Task) -> int | None:
    """The script's exit status, or minus the signal that ended it; None where its time was up."""
    outlet, inlet = os.pipe()
    command = _command(task, inlet)
    process = subprocess.Popen(
        command,
        cwd=task.root,
        env=os.environ | task.environment,
        stdin=subprocess.DEVNULL,
        process_group=0,
        pass_fds=[inlet] if task.proot else [],
    )
    os.close(inlet)
    threading.Thread(target=_watch, args=(process.pid,), daemon=True).start()
    try:
        if task.proot and not select.select([outlet], [], [], task.limit or None)[0]:
            return None
        # proot goes on until the last of its children ends, the script says itself when it does.
        said = os.read(outlet, _LONGEST_STATUS) if task.proot else b""
        if said:
            # Without its children proot ends, and takes with it what it put into the root to show other folders.
            _end_all(spare=process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            return int(said)
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
    """Ends the script's group, and whatever left it for one of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    _end_all()


def _end_all(spare: int = 0) -> None:
    """Ends what is below this process, again and again, for one may have begun another meanwhile."""
    for _ in range(_TRIES):
        left = [number for number in _descendants() if number != spare]
        if not left:
            return
        for number in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        time.sleep(_PAUSE)


def _descendants() -> list[int]:
    """The processes below this one that have not ended."""
    children: dict[int, list[int]] = {}
    for folder in glob.iglob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # The name may hold spaces and brackets: what follows it are the state and the parent.
            state, parent = Path(folder).read_bytes().rpartition(b")")[2].split()[:2]
            if state != b"Z":
                children.setdefault(int(parent), []).append(int(folder.split("/")[2]))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _command(task: Task, status: int) -> list[str]:
    """The script's command; under proot, which tells its exit status to the file ``status``, the session's library is
    loaded inside and not into proot itself.
    """
    if not task.proot:
        return task.command
    preload = os.environ.pop("LD_PRELOAD", "")
    folders = os.environ.pop("LD_LIBRARY_PATH", "")
    binds = [f"--bind={folder}:{folder}!" for folder in folders.split(":") if folder and os.path.isdir(folder)]
    bash, *rest = task.command
    enter = f'LD_PRELOAD="$1" LD_LIBRARY_PATH="$2" "${{@:3}}" {status}>&-; echo $? >&{status}'
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
