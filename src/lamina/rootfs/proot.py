"""A script whose ``/`` is the image's root: what proot shows it of this machine besides.

Invariant: what is shown lies at paths that no image has, or where the programs of this machine look for their
libraries; from a PATH that leads into the Nix store alone, nothing but the store is needed.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lamina.core.names import STORE_DIR

# Folders that the script needs and no image has.
_LAMINA_DIR = "/.lamina"
_LIBRARIES = ("/lib64", "/usr/lib64", "/lib/*-linux-*", "/usr/lib/*-linux-*")
_LOADERS = ("/lib/ld-*", "/usr/lib/ld-*")


@dataclass(frozen=True, slots=True)
class ProotRoot:
    """``proot`` is the command line up to the program; ``search_path`` and ``scratch`` are as the script sees them;
    ``visible_folders`` are the folders of this machine that it sees.
    """

    proot: tuple[str, ...]
    visible_folders: tuple[str, ...]
    search_path: str
    scratch: str

    @classmethod
    def of(cls, proot: str, root: str, search_path: str, scratch: str, system: Sequence[str]) -> ProotRoot:
        """Return the guest at ``root`` for a script that uses the programs of ``search_path`` and sees ``system``."""
        folders_on_path = [
            os.path.realpath(folder) for folder in search_path.split(os.pathsep) if os.path.isdir(folder)
        ]
        inside = [_inner_path(folder, number) for number, folder in enumerate(folders_on_path)]
        outside_store = [(folder, seen) for folder, seen in zip(folders_on_path, inside, strict=True) if folder != seen]
        visible_folders = [(folder, folder) for folder in system if os.path.isdir(folder)]
        libraries = [(folder, folder) for folder in _find_library_folders()] if outside_store else []
        visible = [*visible_folders, *libraries, *outside_store]
        binds = [*visible, (scratch, f"{_LAMINA_DIR}/scratch")]
        flags = [f"--rootfs={root}", "--pwd=/", *(f"--bind={folder}:{seen}!" for folder, seen in binds)]
        folders = dict.fromkeys(folder for folder, _ in visible)
        return cls((proot, *flags), tuple(folders), os.pathsep.join(inside), f"{_LAMINA_DIR}/scratch")

    def find_program(self, name: str, search_path: str) -> str:
        """Where the guest sees the first program ``name`` of ``search_path``, which was given to `of`."""
        folders_on_path = [folder for folder in search_path.split(os.pathsep) if os.path.isdir(folder)]
        seen = zip(folders_on_path, self.search_path.split(os.pathsep), strict=True)
        return next(f"{inside}/{name}" for folder, inside in seen if os.access(f"{folder}/{name}", os.X_OK))


def _inner_path(folder: str, number: int) -> str:
    return folder if folder.startswith(STORE_DIR + "/") else f"{_LAMINA_DIR}/path{number}"


def _find_library_folders() -> Sequence[str]:
    """Where the programs of this machine have their libraries and their loader."""
    return sorted({*_glob_all(_LIBRARIES), *map(os.path.dirname, _glob_all(_LOADERS))})


def _glob_all(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from glob.iglob(pattern)
