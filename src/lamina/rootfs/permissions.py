"""Permissions that a script took from the user who runs lamina: on the session's folders, and on what it left."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path


def read_modes(folders: Iterable[Path]) -> dict[Path, int]:
    """Return the modes of those ``folders`` that exist."""
    found = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            found[folder] = stat.S_IMODE(folder.lstat().st_mode)
    return found


def restore_modes(modes: dict[Path, int]) -> None:
    """Give folders the modes that they had; those at the top must come first. Leave alone what is no folder now."""
    for folder, mode in modes.items():
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) != mode:
                folder.chmod(mode)


def make_readable(top: bytes) -> None:
    """Let this user read the folders and files at ``top`` and below, as far as they are this user's own."""
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
