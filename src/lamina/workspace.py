"""A temporary folder for what a script makes, or for what is unpacked.

Invariant: it is removed when nothing refers to it any more, at the latest when the process ends, whatever was done in
it. Where the process is killed, the next one that makes such a folder in the same place removes it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import weakref
from pathlib import Path
from typing import Self

from lamina.cleanup import Cleanup
from lamina.temporary import new_folder

# Whoever is ended with the process may still be writing.
_TRIES = 5


class Workspace:
    """The folder at ``path``, which exists for as long as this object; also a context manager.

    It lies in TMPDIR, or in ``beside`` where files that are made in it are to be moved there. Raises `OSError`.
    """

    def __init__(self, beside: Path | None = None) -> None:
        if beside is None:
            import tempfile

            self.path, number, cleanup = new_folder(Path(tempfile.gettempdir()), _remove)
        else:
            self.path, number, cleanup = new_folder(beside, _remove, holds_parts=True)
        self.close = weakref.finalize(self, _end, cleanup, number)
        self.close.atexit = False  # `lamina.cleanup` does that, and where a signal ends the process too

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(cleanup: Cleanup, lock: int) -> None:
    try:
        cleanup.run()
    finally:
        if lock >= 0:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove ``folder``, also what a script has taken the permissions from, and folders of any depth."""
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
