"""Restore permissions that a script removed from the session's folders or from the files that it left."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path


def read_modes(folders: Iterable[Path]) -> dict[Path, int]:
    """Return the permission bits of those ``folders`` that exist."""
    modes = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            modes[folder] = stat.S_IMODE(folder.lstat().st_mode)
    return modes


def restore_modes(modes: dict[Path, int]) -> None:
    """Set folders to the given modes, parents first; skip paths that are no longer folders."""
    for folder, mode in modes.items():
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) != mode:
                folder.chmod(mode)


def make_readable(top: bytes) -> None:
    """Make the files and folders at ``top`` and below readable for this user, if this user owns them."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.lstat(top).st_mode):
            _add_bits(top, stat.S_IRWXU)
    waiting = [top]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    _add_bits(entry.path, stat.S_IRWXU)
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    _add_bits(entry.path, stat.S_IRUSR)


def _add_bits(path: bytes, bits: int) -> None:
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(os.lstat(path).st_mode)
        if mode & bits != bits:
            os.chmod(path, mode | bits)
