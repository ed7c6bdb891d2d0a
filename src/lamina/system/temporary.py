"""Temporary files and folders: locked while in use, and removed later if a killed process left them behind.

Invariant: a file or folder with a temporary name is locked (``flock``) before its first use and until it is renamed or
removed. An unlocked one was therefore left behind by a killed process, and the next process that works in the same
folder removes it. No process waits for such a lock, which only shows that its owner is alive. It is taken on the
descriptor that the process already has, without `lamina.system.locks.FileLock`.

A temporary name contains a tag of the running kernel (the boot ID). For names with the tag of this kernel, only the
lock decides. In all other cases (a network file system shared with another machine, after a reboot, or without locks) a
leftover must also be a day old by the clock of the disk. Files of other users, and names that `_NAME` does not match,
are never removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Self

from lamina.system.cleanup import Cleanup, create
from lamina.system.locks import try_lock

# Prefixes of the names of part files, which are beside the file that they become, and of folders in TMPDIR.
PART_PREFIX, FOLDER_PREFIX = ".lamina.", "lamina-"
_PART_SUFFIX = ".part"
_NAME = re.compile(r"(?:\.lamina\.([0-9a-f]{1,32})\.part|lamina-([0-9a-f]{16}))")
_DAY = 24 * 60 * 60
# A sweep looks at no more names than this, because TMPDIR and binary caches may hold millions.
_MAX_NAMES = 20_000
_SWEEP_INTERVAL = 60  # seconds
_BOOT = "/proc/sys/kernel/random/boot_id"
_TAG_LENGTH = 8
# How often to try another name. Another process rarely uses the same name, or removes the new file, several times.
_TRIES = 100

_CLOSED_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOSED_ON_EXEC | getattr(os, "O_BINARY", 0)
_OPEN_FLAGS = _CLOSED_ON_EXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

# The time of the last sweep of each folder (device, inode), in seconds by the clock of its disk.
_last_sweeps: dict[tuple[int, int], float] = {}


class PartFile:
    """A new, locked file that is renamed to its final name by `commit` or removed; a context manager.

    Every file that must appear complete or not at all is written as a `PartFile`. The exception is an OCI layout, whose
    many blobs are in one locked folder (`create_folder`), because each `PartFile` needs a descriptor.

    The constructor also removes files that killed processes left in ``folder``. It raises `OSError`.

    Args:
        folder: where the file is created.
        mode: its permissions, before the umask is applied.
        sweep_all: whether every old file in ``folder`` counts as a leftover, whatever its name.

    Attributes:
        path: the path of the file.
        fd: its descriptor, open for writing.
    """

    def __init__(self, folder: Path, mode: int = 0o666, *, sweep_all: bool = False) -> None:
        self.path: Path
        self.fd: int
        self.path, (self.fd, self._cleanup) = _create_unique(
            folder, PART_PREFIX, _PART_SUFFIX, lambda path: create(partial(_create_file, path, mode), path.unlink)
        )
        self._is_open = True
        _sweep(folder, PART_PREFIX, os.fstat(self.fd).st_mtime, sweep_all=sweep_all)

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``. Raises `OSError`."""
        left = memoryview(data)
        while left:
            left = left[os.write(self.fd, left) :]

    def commit(self, target: Path, mode: int | None = None) -> None:
        """Rename the file to ``target`` with the permissions ``mode``; replace an existing file. Raises `OSError`."""
        # Some file systems report a full disk only when a file is closed, so close it before it is renamed. The lock
        # lasts until the last descriptor is closed, so keep a duplicate.
        spare = os.dup(self.fd)
        try:
            self._close()
            if mode is not None:
                os.chmod(self.path, mode)
            os.replace(self.path, target)
            self._cleanup.cancel()
        finally:
            os.close(spare)

    def discard(self) -> None:
        """Remove the file, unless it was committed."""
        with contextlib.suppress(OSError):
            self._cleanup.run()
        with contextlib.suppress(OSError):
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self.fd)


def create_folder(
    parent: Path, remove: Callable[[Path], object], *, holds_parts: bool = False
) -> tuple[Path, int, Cleanup]:
    """Create a temporary folder that only the user can access, and remove the leftovers in ``parent``.

    Args:
        parent: where the folder is created.
        remove: removes the folder and leftovers.
        holds_parts: whether files of the folder will be moved to ``parent``; it is then named like a `PartFile`.

    Returns:
        The folder; the descriptor that holds its lock, -1 on systems that cannot open folders; and its cleanup, which
        calls ``remove``.

    Raises:
        OSError: the folder cannot be created.
    """
    prefix, suffix = (PART_PREFIX, _PART_SUFFIX) if holds_parts else (FOLDER_PREFIX, "")
    path, (fd, cleanup) = _create_unique(
        parent, prefix, suffix, lambda path: create(partial(_create_locked_folder, path), partial(remove, path))
    )
    _sweep(parent, prefix, os.stat(path).st_mtime, interval=0 if holds_parts else _SWEEP_INTERVAL, remove=remove)
    return path, fd, cleanup


def is_part(name: str) -> bool:
    """Return whether ``name`` is that of a `PartFile`, or of a folder that holds parts."""
    return name.startswith(PART_PREFIX)


def is_in_use(path: Path) -> bool:
    """Return whether a process holds the lock of ``path``; False if that cannot be determined."""
    try:
        fd = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    except OSError:
        return False
    try:
        return try_lock(fd) is False
    finally:
        os.close(fd)


class _TakenError(Exception):
    """Another process removed the new file as a leftover in the moment before it was locked."""


def _create_unique(
    folder: Path, prefix: str, suffix: str, make: Callable[[Path], tuple[int, Cleanup]]
) -> tuple[Path, tuple[int, Cleanup]]:
    for _ in range(_TRIES):
        path = folder / f"{prefix}{_boot_tag()}{os.urandom(4).hex()}{suffix}"
        with contextlib.suppress(FileExistsError, _TakenError):
            return path, make(path)
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def _create_file(path: Path, mode: int) -> int:
    return _lock_new(os.open(path, _CREATE_FLAGS, mode), path)


def _create_locked_folder(path: Path) -> int:
    os.mkdir(path, stat.S_IRWXU)
    try:
        os.chmod(path, stat.S_IRWXU)  # the umask may have removed some of these permissions
        if not hasattr(os, "O_DIRECTORY"):  # systems that cannot open folders
            return -1
        fd = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    except FileNotFoundError as error:
        raise _TakenError from error
    return _lock_new(fd, path)


def _lock_new(fd: int, path: Path) -> int:
    try:
        # Check the name, not the inode: some file systems report a different inode number each time.
        if try_lock(fd) is False or not os.path.lexists(path):
            raise _TakenError
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_same_file(path: Path, status: os.stat_result) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


@cache
def _boot_tag() -> str:
    """Return a tag of the running kernel, equal in all of its processes and containers."""
    import hashlib

    try:
        with open(_BOOT, "rb") as file:
            name = file.read()
    except OSError:
        name = os.fsencode(getattr(os, "uname", lambda: ("", "this machine"))()[1])
    return hashlib.sha256(name).hexdigest()[:_TAG_LENGTH]


def _sweep(
    folder: Path,
    prefix: str,
    now: float,
    *,
    interval: float = _SWEEP_INTERVAL,
    sweep_all: bool = False,
    remove: Callable[[Path], object] | None = None,
) -> None:
    """Remove files that killed processes left in ``folder``, unless this was done in the last ``interval`` seconds."""
    with contextlib.suppress(OSError):
        status = os.stat(folder)
        folder_id = status.st_dev, status.st_ino
        if now - _last_sweeps.get(folder_id, now - interval) < interval:
            return
        _last_sweeps[folder_id] = now
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in islice(entries, _MAX_NAMES)
                if sweep_all or (entry.name.startswith(prefix) and _NAME.fullmatch(entry.name))
            ]
        for name in names:
            with contextlib.suppress(OSError):
                _remove_leftover(folder / name, now, remove or _remove_tree)


def _remove_leftover(path: Path, now: float, remove: Callable[[Path], object]) -> None:
    status = os.lstat(path)
    is_folder = stat.S_ISDIR(status.st_mode)
    if not (is_folder or stat.S_ISREG(status.st_mode)) or status.st_uid != _user_id():
        return
    is_old = status.st_mtime < now - _DAY
    # Over NFS, an exclusive lock requires a file that is open for writing.
    access = os.O_RDONLY if is_folder or not status.st_mode & stat.S_IWUSR else os.O_RDWR
    try:
        fd = os.open(path, access | _OPEN_FLAGS)
    except PermissionError:
        if not is_old:
            return
        fd = -1
    try:
        lock = try_lock(fd) if fd >= 0 else None
        if lock is False or not (is_old or (lock and _is_from_this_boot(path.name))) or not _is_same_file(path, status):
            return
        if is_folder:
            remove(path)
        else:
            path.unlink()
    finally:
        if fd >= 0:
            os.close(fd)


def _is_from_this_boot(name: str) -> bool:
    match = _NAME.fullmatch(name)
    digits = (match[1] or match[2]) if match else ""
    return len(digits) == 2 * _TAG_LENGTH and digits.startswith(_boot_tag())


def _user_id() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _remove_tree(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
