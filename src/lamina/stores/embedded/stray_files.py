"""Find files in the folder of an embedded store that do not belong to any valid path.

No narinfo of the store names the files that are returned here, and no reader opens them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from lamina.core.names import HASH_LENGTH
from lamina.errors import Unavailable
from lamina.formats.narinfo import NarInfo
from lamina.stores.incoming import PRIVATE
from lamina.system.temporary import is_in_use, is_part

NARS = "nar"
_INCOMING, _LOCKS = f"{PRIVATE}/arriving", f"{PRIVATE}/fetching"
_LISTING = ".ls"


def find_orphans(folder: Path, narinfos: Collection[NarInfo]) -> list[str]:
    """Return the NARs that none of ``narinfos`` names, relative to ``folder``, ascending. Raises `Unavailable`."""
    used = {narinfo.file_name for narinfo in narinfos}
    names = (f"{NARS}/{name}" for name in _list_files(folder / NARS) if not is_part(name))
    return sorted(name for name in names if name not in used)


def find_stray_files(folder: Path, narinfos: Collection[NarInfo]) -> list[str]:
    """Return temporary files that killed processes left, and the NAR listings of paths that are not valid.

    The names are relative to ``folder`` and ascending. Raises `Unavailable`.
    """
    hashes = {narinfo.info.path.hash for narinfo in narinfos}
    names = [name for name in _list_files(folder) if is_part(name)]
    names += [f"{NARS}/{name}" for name in _list_files(folder / NARS) if is_part(name)]
    names += [f"{_INCOMING}/{name}" for name in _list_files(folder / _INCOMING)]
    # Another process may be pushing to the folder as a binary cache. It does not take the locks of the store.
    names = [name for name in names if not is_in_use(folder / name)]
    names += [
        name for name in _list_files(folder) if name[HASH_LENGTH:] == _LISTING and name[:HASH_LENGTH] not in hashes
    ]
    return sorted(names)


def find_old_locks(folder: Path) -> list[str]:
    """Return the lock files of fetched paths, relative to ``folder``, ascending. Raises `Unavailable`."""
    return sorted(f"{_LOCKS}/{name}" for name in _list_files(folder / _LOCKS))


def get_size(folder: Path, name: str) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    try:
        return (folder / name).stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _list_files(folder: Path) -> Iterator[str]:
    """Return the names of the files in ``folder``, none if the folder does not exist."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return iter(())
    except OSError as error:
        raise Unavailable(folder, error, "a readable store") from error
    return iter(names)
