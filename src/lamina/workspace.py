"""A temporary folder for what a script makes, or for what is unpacked.

Invariant: it goes when nothing refers to it any more, at the latest when the process ends, whatever was done in it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import weakref
from pathlib import Path


class Workspace:
    """The folder at ``path``, there for as long as this is. Raises `OSError` where none can be made."""

    def __init__(self) -> None:
        import tempfile

        self.path = Path(tempfile.mkdtemp(prefix="lamina-"))
        self.path.chmod(stat.S_IRWXU)  # whatever the umask has left of that
        self.close = weakref.finalize(self, _remove, self.path)


def _remove(folder: Path) -> None:
    """Removes ``folder``, also what a script has taken the permissions from, and folders of any depth."""
    import shutil

    try:
        _make_writable(folder)
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        import subprocess

        remove = ["/bin/rm", "-rf", "--", str(folder)]
        subprocess.run(remove, check=False, stderr=subprocess.DEVNULL)


def _make_writable(folder: Path) -> None:
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            inner = os.path.join(parent, name)
            if not os.path.islink(inner):
                with contextlib.suppress(OSError):
                    os.chmod(inner, stat.S_IRWXU)
