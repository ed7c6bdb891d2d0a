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
        places = [os.path.realpath(place) for place in search_path.split(os.pathsep) if os.path.isdir(place)]
        inside = [_inner_path(place, number) for number, place in enumerate(places)]
        foreign = [(place, seen) for place, seen in zip(places, inside, strict=True) if place != seen]
        visible_folders = [(place, place) for place in system if os.path.isdir(place)]
        libraries = [(place, place) for place in _library_folders()] if foreign else []
        theirs = [*visible_folders, *libraries, *foreign]
        binds = [*theirs, (scratch, f"{_LAMINA_DIR}/scratch")]
        flags = [f"--rootfs={root}", "--pwd=/", *(f"--bind={place}:{seen}!" for place, seen in binds)]
        folders = dict.fromkeys(place for place, _ in theirs)
        return cls((proot, *flags), tuple(folders), os.pathsep.join(inside), f"{_LAMINA_DIR}/scratch")

    def find_program(self, name: str, search_path: str) -> str:
        """Where the guest sees the first program ``name`` of ``search_path``, which was given to `of`."""
        places = [place for place in search_path.split(os.pathsep) if os.path.isdir(place)]
        seen = zip(places, self.search_path.split(os.pathsep), strict=True)
        return next(f"{inside}/{name}" for place, inside in seen if os.access(f"{place}/{name}", os.X_OK))


def _inner_path(place: str, number: int) -> str:
    return place if place.startswith(STORE_DIR + "/") else f"{_LAMINA_DIR}/path{number}"


def _library_folders() -> Sequence[str]:
    """Where the programs of this machine have their libraries and their loader."""
    return sorted({*_glob_all(_LIBRARIES), *map(os.path.dirname, _glob_all(_LOADERS))})


def _glob_all(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from glob.iglob(pattern)
