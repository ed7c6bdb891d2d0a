"""Run a script with the image's root as ``/``, and choose which folders of this machine proot makes visible in it.

Programs of this machine appear below ``/.lamina``, a path that no image has. Only their libraries appear at their usual
paths, where the programs look for them. If every folder of PATH is in the Nix store, only the store is needed.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lamina.core.names import STORE_DIR

# Folders that only the script needs are bound below this folder, which no image has.
_LAMINA_DIR = "/.lamina"
_LIBRARIES = ("/lib64", "/usr/lib64", "/lib/*-linux-*", "/usr/lib/*-linux-*")
_LOADERS = ("/lib/ld-*", "/usr/lib/ld-*")


@dataclass(frozen=True, slots=True)
class ProotRoot:
    """The root that a script under proot sees.

    Attributes:
        proot: The command line of proot, up to the program that it runs.
        visible_folders: The folders of this machine that the script sees.
        search_path: PATH as the script sees it.
        scratch: The script's temporary folder as the script sees it.
    """

    proot: tuple[str, ...]
    visible_folders: tuple[str, ...]
    search_path: str
    scratch: str

    @classmethod
    def of(cls, proot: str, root: str, search_path: str, scratch: str, system: Sequence[str]) -> ProotRoot:
        """Return the proot root at ``root`` for a script that uses the programs of ``search_path``.

        Args:
            proot: The path of the program proot.
            root: The folder that holds the image's root.
            search_path: PATH as this machine has it.
            scratch: The script's temporary folder.
            system: Folders that the script sees at the same path, such as ``/dev``.
        """
        folders_on_path = [
            os.path.realpath(folder) for folder in search_path.split(os.pathsep) if os.path.isdir(folder)
        ]
        inner_paths = [_inner_path(folder, number) for number, folder in enumerate(folders_on_path)]
        outside_store = [
            (folder, inner_path)
            for folder, inner_path in zip(folders_on_path, inner_paths, strict=True)
            if folder != inner_path
        ]
        system_folders = [(folder, folder) for folder in system if os.path.isdir(folder)]
        libraries = [(folder, folder) for folder in _find_library_folders()] if outside_store else []
        visible_folders = [*system_folders, *libraries, *outside_store]
        binds = [*visible_folders, (scratch, f"{_LAMINA_DIR}/scratch")]
        flags = [f"--rootfs={root}", "--pwd=/", *(f"--bind={folder}:{inner_path}!" for folder, inner_path in binds)]
        folders = dict.fromkeys(folder for folder, _ in visible_folders)
        return cls((proot, *flags), tuple(folders), os.pathsep.join(inner_paths), f"{_LAMINA_DIR}/scratch")

    def find_program(self, name: str, search_path: str) -> str:
        """Return the path inside the root of the first program ``name`` on ``search_path``, which `of` was given."""
        folders_on_path = [folder for folder in search_path.split(os.pathsep) if os.path.isdir(folder)]
        pairs = zip(folders_on_path, self.search_path.split(os.pathsep), strict=True)
        return next(f"{inner_path}/{name}" for folder, inner_path in pairs if os.access(f"{folder}/{name}", os.X_OK))


def _inner_path(folder: str, number: int) -> str:
    return folder if folder.startswith(STORE_DIR + "/") else f"{_LAMINA_DIR}/path{number}"


def _find_library_folders() -> Sequence[str]:
    """Return the folders that hold the libraries and the loader of this machine's programs."""
    return sorted({*_glob_all(_LIBRARIES), *map(os.path.dirname, _glob_all(_LOADERS))})


def _glob_all(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from glob.iglob(pattern)
