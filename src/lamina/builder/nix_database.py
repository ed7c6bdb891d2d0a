"""Write the Nix database in an image's root, for a Nix that runs in the container.

The database is written before the scripts run, with the paths that are known at that time, and completed in place once
the references of the root are known. It stays the same file that the scripts saw, with the owner and mode that they
set. nixpkgs registers only the closure of ``contents`` (dockerTools, ``includeNixDB``).

Invariant: the finished database registers every store path of the image, those of the base image's database, and those
that a script registered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lamina.builder.base_image import BaseImage
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Extent, Regular
from lamina.errors import OutputError
from lamina.formats.tar import WHITEOUT
from lamina.rootfs import database
from lamina.rootfs.database import DATABASE_PATH, SIDE_FILE_SUFFIXES
from lamina.rootfs.registration import Registration, make_schema_and_gc_roots, merge_registrations
from lamina.rootfs.tree import FILE_MODE, SYMLINK_MODE, Meta, Tree


def add_database(
    tree: Tree, contents: Iterable[StorePath], closure: Closure, base: Iterable[Registration]
) -> tuple[str, ...]:
    """Put a database of the paths in ``closure`` and ``base`` into ``tree``, and return warnings about ``base``."""
    registrations, warnings = merge_registrations(base, map(Registration.of, closure))
    content = database.dump(registrations)
    tree.put(Regular(DATABASE_PATH, False, len(content), content), Meta(FILE_MODE))
    for node in make_schema_and_gc_roots(contents):
        tree.put(node, Meta(FILE_MODE if isinstance(node, Regular) else SYMLINK_MODE))
    return warnings


def update_database(tree: Tree, closure: Closure, base: BaseImage) -> tuple[str, ...]:
    """Add the paths of ``closure`` to the database in ``tree``, which is now a file on disk; return warnings.

    SQLite's log files beside the database of ``base`` are hidden with whiteouts, because SQLite would apply them to the
    new database. If a script deleted the database, none is written. Raises `FormatError` if a script damaged it.
    """
    match tree.node(DATABASE_PATH):
        case Regular(content=Extent(file=file)):
            present, warnings = database.read(Path(os.fsdecode(file)))
        case _:
            return ("Nix database: a script deleted it, so the image has none",)
    registrations, merge_warnings = merge_registrations(present, map(Registration.of, closure))
    _rewrite(file, database.dump(registrations))
    _refresh_extents(tree, file)
    for suffix in SIDE_FILE_SUFFIXES:
        tree.remove(DATABASE_PATH + suffix)
        if base.exists(DATABASE_PATH + suffix):
            folder, _, name = DATABASE_PATH.rpartition(b"/")
            tree.put(Regular(folder + b"/" + WHITEOUT + name + suffix, False, 0, b""), Meta(FILE_MODE))
    return (*warnings, *merge_warnings)


def _rewrite(file: bytes, content: bytes) -> None:
    mode = os.stat(file).st_mode
    try:
        os.chmod(file, mode | 0o600)
        with open(file, "r+b") as out:
            out.write(content)
            out.truncate()
        os.chmod(file, mode)
    except OSError as error:
        raise OutputError(os.fsdecode(file), error, "to write the Nix database") from error


def _refresh_extents(tree: Tree, file: bytes) -> None:
    """Record the current size and mtime of ``file`` for each of its names in ``tree``."""
    status = os.stat(file)
    for node, meta in list(tree):
        if isinstance(node, Regular) and isinstance(node.content, Extent) and _is_same_file(node.content.file, status):
            extent = Extent.whole(node.content.file, status.st_size, status.st_mtime_ns)
            tree.put(Regular(node.path, node.executable, status.st_size, extent), meta)


def _is_same_file(file: bytes, status: os.stat_result) -> bool:
    found = os.lstat(file)
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)
