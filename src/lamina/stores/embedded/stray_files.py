"""Files in the folder of an embedded store that are no part of it.

Invariant: what is named here no narinfo vouches for and no reader looks at.
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


def find_orphans(folder: Path, known: Collection[NarInfo]) -> list[str]:
    """The NARs that none of ``known`` names, relative to ``folder``, ascending. Raises `Unavailable`."""
    used = {found.file_name for found in known}
    names = (f"{NARS}/{name}" for name in _list_files(folder / NARS) if not is_part(name))
    return sorted(name for name in names if name not in used)


def find_stray_files(folder: Path, known: Collection[NarInfo]) -> list[str]:
    """The files that killed processes left, and the listings of paths that are not valid; likewise."""
    hashes = {found.info.path.hash for found in known}
    found = [name for name in _list_files(folder) if is_part(name)]
    found += [f"{NARS}/{name}" for name in _list_files(folder / NARS) if is_part(name)]
    found += [f"{_INCOMING}/{name}" for name in _list_files(folder / _INCOMING)]
    # The folder may also be pushed to as a binary cache, by a process that knows nothing of the store's locks.
    found = [name for name in found if not is_in_use(folder / name)]
    found += [
        name for name in _list_files(folder) if name[HASH_LENGTH:] == _LISTING and name[:HASH_LENGTH] not in hashes
    ]
    return sorted(found)


def find_old_locks(folder: Path) -> list[str]:
    """The lock files of paths that were fetched; likewise."""
    return sorted(f"{_LOCKS}/{name}" for name in _list_files(folder / _LOCKS))


def size_of(folder: Path, name: str) -> int:
    """How many bytes a file has, 0 where it is not there."""
    try:
        return (folder / name).stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _list_files(folder: Path) -> Iterator[str]:
    """The files in ``folder``, none where that is not there."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return iter(())
    except OSError as error:
        raise Unavailable(f"{folder}: got {error.strerror}, expected to read the store") from error
    return iter(names)
