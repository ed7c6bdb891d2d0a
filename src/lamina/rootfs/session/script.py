"""Run one script and list what it left, from inside the fakeroot session that it was started in.

Inside a fakeroot session the listing shows the owners, modes and extended attributes that the script gave, which are
nowhere on disk, and some of them (the extended attributes) in no file that fakeroot can save.

All that the script began ends with it, and also when nobody holds the other end of stdin any more. `supervisor`, or
the sandbox's process namespace, ends what this program cannot, for a script may kill it.
"""

from __future__ import annotations

import contextlib
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
from typing import Any

from lamina.rootfs.session import linux, processes
from lamina.rootfs.session.protocol import ScriptEntry, ScriptTask

_MAX_STATUS_LENGTH = 16
# How many seconds proot takes to end at the most.
_GRACE_PERIOD = 3
_RETRY_DELAY = 0.1


def main(file: str) -> None:
    """Do the task in ``file`` and write the result, a JSON object: ``status`` and ``entries``, or an ``error``."""
    task = _parse_task(Path(file).read_text(encoding="ascii"))
    try:
        result = _run_task(task)
    except (OSError, MemoryError, RuntimeError) as error:  # threads that cannot be started are a RuntimeError
        number = error.errno if isinstance(error, OSError) else None
        result = {"error": str(error) or type(error).__name__, "errno": number}
    with open(task.result_fd, "w", encoding="ascii") as stream:
        json.dump(result, stream)


def _run_task(task: ScriptTask) -> dict[str, Any]:
    if task.is_fakeroot:
        _check_fakeroot(task.root)
    with contextlib.suppress(OSError, AttributeError):  # Linux alone
        linux.adopt_orphans()
    status = _run_script(task)
    builder = _read_builder_ids() if task.is_fakeroot else None
    entries = list(_list_entries(os.fsencode(task.root), builder)) if status == 0 else []
    return {"status": status, "entries": entries}


def _check_fakeroot(root: str) -> None:
    """End the session where fakeroot's library is not at work: of that the loader says no more than a warning."""
    if not _can_chown(root):
        sys.exit("fakeroot's library: got none at work, expected it in the session")
    names = [os.path.basename(name) for name in os.environ.get("LD_PRELOAD", "").split(":") if name]
    with contextlib.suppress(FileNotFoundError):
        loaded = Path("/proc/self/maps").read_bytes()
        for name in names:
            if os.fsencode(name) not in loaded:
                sys.exit(f"{name}: got it left out by the loader, expected it in the session")


def _can_chown(root: str) -> bool:
    """Tell whether files can be given to others, as under fakeroot; leave ``root`` to root."""
    try:
        os.chown(root, 1, 1)
        status = os.lstat(root)
        os.chown(root, 0, 0)
    except OSError:
        return False
    return (status.st_uid, status.st_gid) == (1, 1)


def _run_script(task: ScriptTask) -> int:
    """Return the script's exit status, or minus the signal that ended it."""
    status_reader, status_writer = os.pipe()
    command = _build_command(task, status_writer)
    process = subprocess.Popen(
        command,
        cwd=task.root,
        env=os.environ | task.environment,
        stdin=subprocess.DEVNULL,
        process_group=0,
        pass_fds=[status_writer] if task.proot else [],
    )
    os.close(status_writer)
    threading.Thread(target=_watch_stdin, args=(process, bool(task.proot)), daemon=True).start()
    try:
        # proot goes on until the last of its children ends, so the script itself says when it does.
        status = b""
        if task.proot:
            select.select([status_reader], [], [])
            status = os.read(status_reader, _MAX_STATUS_LENGTH)
        if status:
            _terminate_proot(process)
            return int(status)
        return process.wait()
    finally:
        _kill_group(process.pid)
        process.wait()


def _watch_stdin(process: subprocess.Popen[bytes], has_proot: bool) -> None:
    """End the script when stdin does, because nobody waits for it any more."""
    while os.read(0, 1):
        pass
    if has_proot:
        _terminate_proot(process)
    _kill_group(process.pid)
    os._exit(1)


def _terminate_proot(proot: subprocess.Popen[bytes]) -> None:
    """End what proot began: without its children it ends too, and removes what it made to show other folders."""
    deadline = time.monotonic() + _GRACE_PERIOD
    while proot.poll() is None and time.monotonic() < deadline:
        # Again and again, because a proot that is still starting has its first child to come.
        processes.kill_descendants(os.getpid(), except_pid=proot.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            proot.wait(_RETRY_DELAY)


def _kill_group(group: int) -> None:
    """End the script's group, and whatever left it for one of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    processes.kill_descendants(os.getpid())


def _build_command(task: ScriptTask, status: int) -> list[str]:
    """Return the script's command.

    Under proot it tells its exit status to the descriptor ``status``, and the session's library is loaded inside, not
    into proot itself.
    """
    if not task.proot:
        return task.command
    preload = os.environ.pop("LD_PRELOAD", "")
    folders = os.environ.pop("LD_LIBRARY_PATH", "")
    binds = [f"--bind={folder}:{folder}!" for folder in folders.split(":") if folder and os.path.isdir(folder)]
    bash, *rest = task.command
    enter = f'LD_PRELOAD="$1" LD_LIBRARY_PATH="$2" "${{@:3}}" {status}>&-; echo $? >&{status}'
    return [*task.proot, *binds, bash, "-c", enter, bash, preload, folders, bash, *rest]


def _list_entries(top: bytes, builder: tuple[int, int] | None) -> Iterator[ScriptEntry]:
    """List what is below ``top``; ``builder`` owns what fakeroot mistakes for the builder's, see `_image_owner`.

    Where the script took the permission to read something, it is given for a moment: to a folder until all below it
    is listed.
    """
    waiting: list[tuple[bytes, int | None]] = [(b"", None)]
    while waiting:
        path, closed = waiting.pop()
        full_path = os.path.join(top, path) if path else top
        # What cannot be read is found out where the files are taken up.
        with contextlib.suppress(OSError):
            if closed is not None:
                os.chmod(full_path, closed)
                continue
            status = os.lstat(full_path)
            mode = stat.S_IMODE(status.st_mode)
            is_open = _make_readable(full_path, status.st_mode)
            attributes = _read_xattrs(full_path)
            uid, gid = _image_owner(status, bool(attributes), builder)
            image_xattrs = {name: value for name, value in attributes.items() if _is_image_xattr(name)}
            yield ScriptEntry(path.hex(), status.st_mode, uid, gid, image_xattrs)
            if not is_open:
                waiting.append((path, mode))
            if stat.S_ISDIR(status.st_mode):
                waiting += [(os.path.join(path, name), None) for name in os.listdir(full_path)]


def _make_readable(full_path: bytes, mode: int) -> bool:
    """Let this process read what is at ``full_path``; return whether it could before."""
    needed = stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR if stat.S_ISREG(mode) else 0
    if mode & needed == needed:
        return True
    with contextlib.suppress(OSError):
        os.chmod(full_path, stat.S_IMODE(mode) | needed)
        return False
    return True


def _read_builder_ids() -> tuple[int, int] | None:
    """Return the user and group ID that this process really has, of which fakeroot says that they are root's."""
    with contextlib.suppress(OSError, KeyError):
        lines = Path("/proc/self/status").read_text("utf-8", "replace").splitlines()
        fields = {name: values.split() for name, _, values in (line.partition(":") for line in lines)}
        return int(fields["Uid"][0]), int(fields["Gid"][0])
    return None


def _image_owner(status: os.stat_result, has_attributes: bool, builder: tuple[int, int] | None) -> tuple[int, int]:
    """Return a file's owner and group in the image.

    fakeroot shows a file that it knows nothing of as root's. When an extended attribute is set, as by ``setcap``, it
    begins to know the file, and records the owner that the file really has. That owner is the builder's, unless the
    session runs in a user namespace that maps the builder to root, and must not reach the image.
    """
    found = (status.st_uid, status.st_gid)
    return (0, 0) if has_attributes and found == builder else found


def _read_xattrs(full_path: bytes) -> dict[str, str]:
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = os.listxattr(full_path, follow_symlinks=False)
        return {name: os.getxattr(full_path, name, follow_symlinks=False).hex() for name in names}
    except OSError:  # the file system has none
        return {}


def _is_image_xattr(name: str) -> bool:
    """Tell whether an attribute belongs to the file, and not to this machine as labels and access lists do."""
    return name == "security.capability" or name.startswith("user.")


def _parse_task(text: str) -> ScriptTask:
    fields: dict[str, Any] = json.loads(text)
    return ScriptTask(**fields)
