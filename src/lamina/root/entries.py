"""Declared entries: folders, files, symlinks and permissions of the root that need no script.

Invariant: `parse` takes what the command line writes, and an entry says all about what it makes.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from lamina.errors import InvalidName, NotFound
from lamina.nodes import Directory, Extent, Regular
from lamina.nodes import Symlink as SymlinkNode
from lamina.root.tree import DIRECTORY_MODE, SYMLINK_MODE, Meta, Tree

_META = re.compile(r":([0-7]{3,4})(?::([0-9]{1,10}):([0-9]{1,10}))?\Z")
_MOST_ID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class Dir:
    """A folder, there with its parents after all else was made."""

    path: str
    mode: int = DIRECTORY_MODE
    uid: int = 0
    gid: int = 0

    @classmethod
    def parse(cls, text: str) -> Dir:
        """``PATH[:MODE[:UID:GID]]``; raises `InvalidName`."""
        path, meta = _split_meta(text)
        return cls(path, meta.mode, meta.uid, meta.gid) if meta else cls(path)

    def apply(self, tree: Tree) -> None:
        """Makes the folder, or gives one that is there mode and owner."""
        tree.put(Directory(_relative(self.path)), Meta(self.mode, self.uid, self.gid))


@dataclass(frozen=True, slots=True)
class File:
    """A file with the bytes of ``source``; ``mode`` None is 0755 where the source may be executed, else 0644."""

    path: str
    source: str
    mode: int | None = None
    uid: int = 0
    gid: int = 0

    @classmethod
    def parse(cls, text: str) -> File:
        """``PATH=SOURCE[:MODE[:UID:GID]]``; raises `InvalidName`."""
        path, equals, rest = text.partition("=")
        source, meta = _split_meta(rest)
        if not equals or not source:
            raise InvalidName(f"file: got {text!r}, expected PATH=SOURCE[:MODE[:UID:GID]]")
        return cls(path, source, *((meta.mode, meta.uid, meta.gid) if meta else ()))

    def apply(self, tree: Tree) -> None:
        """Puts the file; raises `NotFound` where the source is no file."""
        try:
            status = os.stat(self.source)
        except OSError as error:
            raise NotFound(f"file {self.path}: got {self.source}: {error.strerror}, expected a file") from error
        if not stat.S_ISREG(status.st_mode):
            raise NotFound(f"file {self.path}: got {self.source}, expected a file")
        executable = bool(status.st_mode & stat.S_IXUSR)
        mode = self.mode if self.mode is not None else 0o755 if executable else 0o644
        source = os.fsencode(os.path.realpath(self.source))
        extent = Extent(source, 0, status.st_size, status.st_size, status.st_mtime_ns)
        node = Regular(_relative(self.path), bool(mode & stat.S_IXUSR), status.st_size, extent)
        tree.put(node, Meta(mode, self.uid, self.gid))


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symlink that holds ``target`` verbatim."""

    path: str
    target: str

    @classmethod
    def parse(cls, text: str) -> Symlink:
        """``PATH=TARGET``; raises `InvalidName`."""
        path, equals, target = text.partition("=")
        if not equals or not target:
            raise InvalidName(f"symlink: got {text!r}, expected PATH=TARGET")
        return cls(path, target)

    def apply(self, tree: Tree) -> None:
        """Puts the symlink."""
        tree.put(SymlinkNode(_relative(self.path), os.fsencode(self.target)), Meta(SYMLINK_MODE))


@dataclass(frozen=True, slots=True)
class Perm:
    """Another mode and owner for a file or folder that is there."""

    path: str
    mode: int
    uid: int = 0
    gid: int = 0

    @classmethod
    def parse(cls, text: str) -> Perm:
        """``PATH:MODE[:UID:GID]``; raises `InvalidName`."""
        path, meta = _split_meta(text)
        if meta is None:
            raise InvalidName(f"perm: got {text!r}, expected PATH:MODE[:UID:GID]")
        return cls(path, meta.mode, meta.uid, meta.gid)

    def apply(self, tree: Tree) -> None:
        """Changes mode and owner; raises `InvalidName` where there is nothing, or a symlink."""
        tree.set_meta(_relative(self.path), Meta(self.mode, self.uid, self.gid))


Entry = Dir | File | Symlink | Perm


def _split_meta(text: str) -> tuple[str, Meta | None]:
    found = _META.search(text)
    if not found:
        return text, None
    mode, uid, gid = found.groups(default="0")
    if max(int(uid), int(gid)) > _MOST_ID:
        raise InvalidName(f"owner: got {uid}:{gid}, expected numbers up to {_MOST_ID}")
    return text[: found.start()], Meta(int(mode, 8), int(uid), int(gid))


def _relative(path: str) -> bytes:
    """``path`` below the root: without slashes at its ends, and without anything that leaves it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts or "\0" in path:
        raise InvalidName(f"path in the image: got {path!r}, expected an absolute one without '..'")
    return os.fsencode("/".join(parts))
