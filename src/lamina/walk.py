"""A tree on disk as a stream of nodes.

Invariant: no file is opened, only folders; what comes is in NAR order and holds nothing that a Nix archive could
not: a socket, a device or a pipe raises `FormatError`.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
import sys
from collections.abc import Iterator

from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.nodes import Directory, Extent, Node, Regular, Symlink

_CASE_HACK = re.compile(rb"~nix~case~hack~[0-9]+\Z")


def walk(top: bytes, *, case_hack: bool = sys.platform == "darwin") -> Iterator[Node]:
    """The nodes of the store path at ``top``.

    ``case_hack`` takes the ending ``~nix~case~hack~N`` off names, which Nix appends where the file system folds case
    (Nix manual, use-case-hack). Raises `NotFound` at once where ``top`` does not exist; while it goes on `Unavailable`
    for what cannot be read, `IntegrityError` for what vanishes.
    """
    return (node for node, _ in scan(top, case_hack=case_hack))


def scan(top: bytes, *, case_hack: bool = False) -> Iterator[tuple[Node, int]]:
    """Like `walk`, each node with the mode bits that it has on disk."""
    try:
        status = os.lstat(top)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{os.fsdecode(top)}: got nothing there, expected a store path") from error
    except OSError as error:
        raise _unreadable(top, error) from error
    return _scan(top, status, case_hack)


def _scan(top: bytes, status: os.stat_result, case_hack: bool) -> Iterator[tuple[Node, int]]:
    node = _node(b"", top, status)
    yield node, stat.S_IMODE(status.st_mode)
    if not isinstance(node, Directory):
        return
    folders = [_entries(top, b"", case_hack)]
    while folders:
        for path, entry in folders[-1]:
            try:
                status = entry.stat(follow_symlinks=False)
                node = _node(path, entry.path, status)
            except OSError as error:
                raise _unreadable(entry.path, error) from error
            yield node, stat.S_IMODE(status.st_mode)
            if isinstance(node, Directory):
                folders.append(_entries(entry.path, path, case_hack))
                break
        else:
            folders.pop()


def _entries(folder: bytes, path: bytes, case_hack: bool) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(((_name(entry.name, case_hack), entry) for entry in found), key=_first)
    except OSError as error:
        raise _unreadable(folder, error) from error
    for (name, _), (following, _) in itertools.pairwise(entries):
        if name == following:
            raise FormatError(f"{os.fsdecode(folder)}: got two entries for {os.fsdecode(name)!r}, expected one")
    prefix = path + b"/" if path else b""
    return iter([(prefix + name, entry) for name, entry in entries])


def _node(path: bytes, file: bytes, status: os.stat_result) -> Node:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        executable = bool(mode & stat.S_IXUSR)
        size = status.st_size
        return Regular(path, executable, size, Extent.whole(file, size, status.st_mtime_ns))
    if stat.S_ISDIR(mode):
        return Directory(path)
    if stat.S_ISLNK(mode):
        return Symlink(path, os.readlink(file))
    raise FormatError(f"{os.fsdecode(file)}: got {kind(mode)}, expected a file, a folder or a symlink")


def kind(mode: int) -> str:
    """What a ``mode`` that no tree may hold stands for, in words."""
    kinds = {stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a block device", stat.S_IFCHR: "a character device"}
    return kinds.get(stat.S_IFMT(mode), "a named pipe" if stat.S_ISFIFO(mode) else "a special file")


def _name(name: bytes, case_hack: bool) -> bytes:
    return _CASE_HACK.sub(b"", name) if case_hack else name


def _first(item: tuple[bytes, object]) -> bytes:
    return item[0]


def _unreadable(path: bytes, error: OSError) -> IntegrityError | Unavailable:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return IntegrityError(f"{os.fsdecode(path)}: got {error.strerror}, expected what was there a moment ago")
    return Unavailable(f"{os.fsdecode(path)}: got {error.strerror}, expected to read it")
