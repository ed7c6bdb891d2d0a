"""A temporary folder for the output of scripts and for unpacked archives.

The folder is removed when its object is no longer referenced, at the latest when the process ends, even if a script has
removed permissions. If the process is killed, the next process that creates a temporary folder in the same parent
removes it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import weakref
from functools import partial
from pathlib import Path
from typing import Self

from lamina.system.cleanup import Cleanup, close_with
from lamina.system.temporary import create_folder

FOLDER_HINT = "choose another folder with TMPDIR"
"""The hint of an error about a temporary folder."""
# Processes that end together with this one may still write to the folder while it is being removed.
_TRIES = 5
_VARIABLES, _DEFAULT_FOLDERS = ("TMPDIR", "TEMP", "TMP"), ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - as in tempfile


class TempDir:
    """The folder at ``path``, which exists for as long as this object; also a context manager.

    It is created in TMPDIR, or in ``parent`` if its files will be moved there later. Raises `OSError`.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.path: Path
        if parent is None:
            self.path, fd, cleanup = create_folder(_find_temporary_folder(), _remove)
        else:
            self.path, fd, cleanup = create_folder(parent, _remove, holds_parts=True)
        self.close: weakref.finalize[[], object] = close_with(self, partial(_close, cleanup, fd))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _find_temporary_folder() -> Path:
    """Return the folder that ``tempfile.gettempdir`` returns, without the test file that it writes.

    A process that is killed at that moment would leave the test file behind. A folder on a full disk is accepted too,
    so that the later error names the folder that the user chose.
    """
    import tempfile

    if os.name == "posix" and tempfile.tempdir is None:
        for folder in (*map(os.environ.get, _VARIABLES), *_DEFAULT_FOLDERS):
            if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
                return Path(os.path.abspath(folder))
    return Path(os.path.abspath(tempfile.gettempdir()))


def _close(cleanup: Cleanup, lock: int) -> None:
    try:
        cleanup.run()
    finally:
        if lock >= 0:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove ``folder`` at any depth, including folders whose permissions a script has taken away."""
    import shutil

    for _ in range(_TRIES):
        try:
            _make_writable(folder)
            shutil.rmtree(folder, ignore_errors=True)
        except RecursionError:
            import subprocess

            remove = ["/bin/rm", "-rf", "--", str(folder)]
            subprocess.run(remove, check=False, stderr=subprocess.DEVNULL)
        if not os.path.lexists(folder):
            return


def _make_writable(folder: Path) -> None:
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            inner = os.path.join(parent, name)
            if not os.path.islink(inner):
                with contextlib.suppress(OSError):
                    os.chmod(inner, stat.S_IRWXU)
