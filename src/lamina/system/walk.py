"""Walk a file tree on disk, and return it as a stream of nodes in NAR order or as a listing.

Only folders are opened, never files. A socket, a device or a pipe, which a NAR cannot contain, raises `FormatError`.
"""

from __future__ import annotations

import errno
import itertools
import operator
import os
import re
import stat
import sys
from collections.abc import Iterator

from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink
from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, Listing, ListingBuilder
from lamina.messages.redaction import short_repr

_disk_name = operator.attrgetter("name")
_CASE_HACK = re.compile(rb"~nix~case~hack~[0-9]+\Z")
_DARWIN = sys.platform == "darwin"
# The path in the tree, the path on disk, the status, and the target of a symlink.
_WalkEntry = tuple[bytes, bytes, os.stat_result, bytes]


def walk(top: bytes, *, case_hack: bool = _DARWIN) -> Iterator[Node]:
    """Walk the store path at ``top``, and yield its nodes in NAR order.

    Args:
        top: the path on disk.
        case_hack: whether to remove the suffix ``~nix~case~hack~N`` from names, which Nix appends on file systems that
            ignore case (Nix manual, use-case-hack).

    Raises:
        NotFound: ``top`` does not exist. The call itself raises this, and the iteration raises the others.
        Unavailable: a file or folder cannot be read.
        IntegrityError: a file or folder vanished during the walk.
        FormatError: a file is neither a regular file, a folder nor a symlink.
    """
    return (node for node, _ in walk_with_modes(top, case_hack=case_hack))


def walk_with_modes(top: bytes, *, case_hack: bool = False) -> Iterator[tuple[Node, int]]:
    """Walk as `walk` does, and yield each node with the mode bits that it has on disk."""
    scanned = _scan(top, _stat_top(top), case_hack)
    return ((_make_node(*item), stat.S_IMODE(item[2].st_mode)) for item in scanned)


def list_tree(top: bytes, *, case_hack: bool = _DARWIN) -> Listing | None:
    """Return the nodes of `walk` as a listing.

    The path on disk of a file in the listing is ``top`` joined with its path in the tree. If this is not possible,
    because a name on disk has the suffix that ``case_hack`` removes, return None. Raises what `walk` raises.
    """
    lister = ListingBuilder()
    add, is_file = lister.add, stat.S_ISREG
    for path, file, status, target in _scan(top, _stat_top(top), case_hack):
        mode = status.st_mode
        if is_file(mode):
            add(EXECUTABLE if mode & stat.S_IXUSR else FILE, path, status.st_size, b"", status.st_mtime_ns)
        elif target:
            add(SYMLINK, path, 0, target, 0)
        else:
            add(FOLDER, path, 0, b"", 0)
        if case_hack and path and not file.endswith(b"/" + path):
            return None
    return lister.build()


def _stat_top(top: bytes) -> os.stat_result:
    try:
        return os.lstat(top)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_error(top) from error
    except OSError as error:
        raise _read_error(top, error) from error


def _scan(top: bytes, status: os.stat_result, case_hack: bool) -> Iterator[_WalkEntry]:
    yield b"", top, status, _read_target(top, status)
    if not stat.S_ISDIR(status.st_mode):
        return
    is_file, is_folder = stat.S_ISREG, stat.S_ISDIR
    folders = [_read_folder(top, b"", case_hack)]
    while folders:
        for path, entry in folders[-1]:
            file = entry.path
            try:
                status = entry.stat(follow_symlinks=False)
                if is_file(status.st_mode):
                    yield path, file, status, b""
                    continue
                target = _read_target(file, status)
            except OSError as error:
                raise _read_error(file, error) from error
            yield path, file, status, target
            if is_folder(status.st_mode):
                folders.append(_read_folder(file, path, case_hack))
                break
        else:
            folders.pop()


def _read_folder(folder: bytes, path: bytes, case_hack: bool) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=_disk_name)
    except OSError as error:
        raise _read_error(folder, error) from error
    prefix = path + b"/" if path else b""
    if not case_hack:
        return iter([(prefix + entry.name, entry) for entry in entries])
    named = sorted(((_CASE_HACK.sub(b"", entry.name), entry) for entry in entries), key=_first)
    for (name, _), (following, _) in itertools.pairwise(named):
        if name == following:
            raise FormatError(os.fsdecode(folder), f"two entries for {short_repr(os.fsdecode(name))}", "one")
    return iter([(prefix + name, entry) for name, entry in named])


def _read_target(file: bytes, status: os.stat_result) -> bytes:
    """Read the target of a symlink; return b"" for a file or folder, and raise `FormatError` for anything else."""
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        return os.readlink(file)
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return b""
    raise FormatError(os.fsdecode(file), file_type_name(mode), "a file, a folder or a symlink")


def _make_node(path: bytes, file: bytes, status: os.stat_result, target: bytes) -> Node:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        size = status.st_size
        return Regular(path, bool(mode & stat.S_IXUSR), size, Extent.whole(file, size, status.st_mtime_ns))
    return Directory(path) if stat.S_ISDIR(mode) else Symlink(path, target)


def missing_error(top: bytes) -> NotFound:
    """Return the error for a missing store path at ``top``."""
    return NotFound(os.fsdecode(top), "nothing there", "a store path")


def file_type_name(mode: int) -> str:
    """Return the name of the file type in ``mode``, which a file tree must not contain, for messages."""
    kinds = {stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a block device", stat.S_IFCHR: "a character device"}
    return kinds.get(stat.S_IFMT(mode), "a named pipe" if stat.S_ISFIFO(mode) else "a special file")


def _first(item: tuple[bytes, object]) -> bytes:
    return item[0]


def _read_error(path: bytes, error: OSError) -> IntegrityError | Unavailable:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return IntegrityError(os.fsdecode(path), error, "the file or folder that was just listed")
    return Unavailable(os.fsdecode(path), error, "a readable file or folder")
