"""Run one script and list the files that it left, inside the fakeroot session if it has one.

The owners, modes and extended attributes that the script set are visible only inside the fakeroot session. They are not
on disk, and fakeroot cannot save the extended attributes to a file.

All processes of the script end with it, and also when the other end of stdin is closed. If the script kills this
program, `supervisor` or the sandbox's process namespace ends the remaining processes.
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
# How many seconds proot has to end.
_GRACE_PERIOD = 3
_RETRY_DELAY = 0.1


def main(file: str) -> None:
    """Run the task in ``file`` and write the result, a JSON object: ``status`` and ``entries``, or an ``error``."""
    task = _parse_task(Path(file).read_text(encoding="ascii"))
    try:
        result = _run_task(task)
    except (OSError, MemoryError, RuntimeError) as error:  # RuntimeError: a thread cannot be started
        number = error.errno if isinstance(error, OSError) else None
        result = {"error": str(error) or type(error).__name__, "errno": number}
    with open(task.result_fd, "w", encoding="ascii") as stream:
        json.dump(result, stream)


def _run_task(task: ScriptTask) -> dict[str, Any]:
    if task.is_fakeroot:
        _check_fakeroot(task.root)
    with contextlib.suppress(OSError, AttributeError):  # only Linux has this
        linux.adopt_orphans()
    status = _run_script(task)
    builder_ids = _read_builder_ids() if task.is_fakeroot else None
    entries = list(_list_entries(os.fsencode(task.root), builder_ids)) if status == 0 else []
    return {"status": status, "entries": entries}


def _check_fakeroot(root: str) -> None:
    """Exit if fakeroot's library was not loaded, because the loader prints only a warning in that case."""
    if not _can_chown(root):
        sys.exit("fakeroot's library: got none, expected it to be loaded in the session")
    names = [os.path.basename(name) for name in os.environ.get("LD_PRELOAD", "").split(":") if name]
    with contextlib.suppress(FileNotFoundError):
        loaded = Path("/proc/self/maps").read_bytes()
        for name in names:
            if os.fsencode(name) not in loaded:
                sys.exit(f"{name}: got a library that the loader skipped, expected it to be loaded in the session")


def _can_chown(root: str) -> bool:
    """Return whether the owner of ``root`` can be changed, as under fakeroot. Set the owner to root again."""
    try:
        os.chown(root, 1, 1)
        status = os.lstat(root)
        os.chown(root, 0, 0)
    except OSError:
        return False
    return (status.st_uid, status.st_gid) == (1, 1)


def _run_script(task: ScriptTask) -> int:
    """Run the script; return its exit status, or the negative number of the signal that ended it."""
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
        # proot runs until the last of its children ends, so the script's shell reports when the script has ended.
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
    """End the script at the end of stdin, which means that lamina has ended or no longer waits."""
    while os.read(0, 1):
        pass
    if has_proot:
        _terminate_proot(process)
    _kill_group(process.pid)
    os._exit(1)


def _terminate_proot(proot: subprocess.Popen[bytes]) -> None:
    """Kill the children of proot, so that it ends by itself and removes its temporary files."""
    deadline = time.monotonic() + _GRACE_PERIOD
    while proot.poll() is None and time.monotonic() < deadline:
        # Do this repeatedly, because a proot that is still starting has no child yet.
        processes.kill_descendants(os.getpid(), except_pid=proot.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            proot.wait(_RETRY_DELAY)


def _kill_group(group: int) -> None:
    """Kill the script's process group, and descendants that left it for another group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    processes.kill_descendants(os.getpid())


def _build_command(task: ScriptTask, status_fd: int) -> list[str]:
    """Return the script's command line.

    Under proot, a shell writes the exit status to the descriptor ``status_fd``, and fakeroot's library is loaded into
    the script's processes but not into proot itself.
    """
    if not task.proot:
        return task.command
    preload = os.environ.pop("LD_PRELOAD", "")
    library_path = os.environ.pop("LD_LIBRARY_PATH", "")
    binds = [f"--bind={folder}:{folder}!" for folder in library_path.split(":") if folder and os.path.isdir(folder)]
    bash, *rest = task.command
    shell_script = f'LD_PRELOAD="$1" LD_LIBRARY_PATH="$2" "${{@:3}}" {status_fd}>&-; echo $? >&{status_fd}'
    return [*task.proot, *binds, bash, "-c", shell_script, bash, preload, library_path, bash, *rest]


def _list_entries(top: bytes, builder_ids: tuple[int, int] | None) -> Iterator[ScriptEntry]:
    """List ``top`` and everything below it.

    If the script removed the permission to read a file or folder, the permission is added temporarily: for a folder,
    until everything below it has been listed.

    Args:
        top: The folder of the image's root.
        builder_ids: The real user and group ID of this process; see `_image_owner`.
    """
    # The second item is the mode to restore after everything below a folder was listed.
    waiting: list[tuple[bytes, int | None]] = [(b"", None)]
    while waiting:
        path, original_mode = waiting.pop()
        full_path = os.path.join(top, path) if path else top
        # Files that cannot be read are reported later, by the process that reads the tree.
        with contextlib.suppress(OSError):
            if original_mode is not None:
                os.chmod(full_path, original_mode)
                continue
            status = os.lstat(full_path)
            mode = stat.S_IMODE(status.st_mode)
            is_open = _make_readable(full_path, status.st_mode)
            attributes = _read_xattrs(full_path)
            uid, gid = _image_owner(status, bool(attributes), builder_ids)
            image_xattrs = {name: value for name, value in attributes.items() if _is_image_xattr(name)}
            yield ScriptEntry(path.hex(), status.st_mode, uid, gid, image_xattrs)
            if not is_open:
                waiting.append((path, mode))
            if stat.S_ISDIR(status.st_mode):
                waiting += [(os.path.join(path, name), None) for name in os.listdir(full_path)]


def _make_readable(full_path: bytes, mode: int) -> bool:
    """Make the file or folder at ``full_path`` readable for this process; return whether it was readable before."""
    needed_bits = stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR if stat.S_ISREG(mode) else 0
    if mode & needed_bits == needed_bits:
        return True
    with contextlib.suppress(OSError):
        os.chmod(full_path, stat.S_IMODE(mode) | needed_bits)
        return False
    return True


def _read_builder_ids() -> tuple[int, int] | None:
    """Return the real user and group ID of this process, for which fakeroot returns those of root."""
    with contextlib.suppress(OSError, KeyError):
        lines = Path("/proc/self/status").read_text("utf-8", "replace").splitlines()
        fields = {name: values.split() for name, _, values in (line.partition(":") for line in lines)}
        return int(fields["Uid"][0]), int(fields["Gid"][0])
    return None


def _image_owner(status: os.stat_result, has_attributes: bool, builder_ids: tuple[int, int] | None) -> tuple[int, int]:
    """Return a file's owner and group in the image.

    Without a record of a file, fakeroot shows root as its owner. When an extended attribute is set, for example by
    ``setcap``, fakeroot makes a record with the real owner. That is the user who runs lamina, unless the session runs
    in a user namespace that maps this user to root. This user must not appear in the image, so it is replaced by root.
    """
    found = (status.st_uid, status.st_gid)
    return (0, 0) if has_attributes and found == builder_ids else found


def _read_xattrs(full_path: bytes) -> dict[str, str]:
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = os.listxattr(full_path, follow_symlinks=False)
        return {name: os.getxattr(full_path, name, follow_symlinks=False).hex() for name in names}
    except OSError:  # the file system does not support them
        return {}


def _is_image_xattr(name: str) -> bool:
    """Return whether an attribute belongs in the image. Security labels and ACLs depend on the machine."""
    return name == "security.capability" or name.startswith("user.")


def _parse_task(text: str) -> ScriptTask:
    fields: dict[str, Any] = json.loads(text)
    return ScriptTask(**fields)
