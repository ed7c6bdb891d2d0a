"""The files of a layer cache: the default one, those beside a database, and how a layer cache is recognised."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.layer_cache.schema import APPLICATION_ID

# The default layer cache in the user's cache folder, and the name that it had before.
FILE_NAME = "layer-cache.sqlite"
OLD_FILE_NAME = "ledger.sqlite"

# Where a database says which kind of file it is, and whose (SQLite documentation, "Database File Format", 1.3).
MAGIC, APPLICATION_ID_OFFSET = b"SQLite format 3\0", 68


def remove_old_file(folder: Path) -> None:
    """Remove the default layer cache of an earlier version from ``folder``, once, before there is a new one.

    Another program's file of that name stays, and so does one that cannot be removed.
    """
    old = folder / OLD_FILE_NAME
    try:
        if os.path.lexists(folder / FILE_NAME) or old.is_symlink() or not old.is_file():
            return
        if is_layer_cache(read_head(old)):
            # The database first: without it, SQLite ignores the files beside it.
            for file in list_files(old):
                file.unlink(missing_ok=True)
    except OSError:
        return


def list_files(database: Path) -> list[Path]:
    """Return the path of the database, then those of the files that SQLite puts beside it, the log first."""
    return [Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")]


def is_layer_cache(head: bytes) -> bool:
    """Return whether ``head`` is the start of a database that lamina made."""
    return head.startswith(MAGIC) and head[APPLICATION_ID_OFFSET:] == APPLICATION_ID.to_bytes(4, "big")


def read_head(path: Path) -> bytes:
    """Return the start of a database's header, up to the application's number; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(APPLICATION_ID_OFFSET + 4)
    except OSError:
        return b""
