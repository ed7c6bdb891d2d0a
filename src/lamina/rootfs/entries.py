"""Declared entries: folders, files, symlinks, permissions and attributes of the root that need no script.

The ``parse`` method of each class reads the syntax of the command line's options.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace

from lamina.core.nodes import Directory, Extent, Regular
from lamina.core.nodes import Symlink as SymlinkNode
from lamina.errors import InputError, InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.rootfs.tree import DIRECTORY_MODE, SYMLINK_MODE, Meta, Tree

_META = re.compile(r":([0-7]{3,4})(?::([0-9]{1,10}):([0-9]{1,10}))?\Z")
# Texts that look like a mode or an owner but are not valid at that position.
_DIGITS = re.compile(r":[0-9:]+\Z")
_OWNER_NAME = re.compile(r":[0-7]{3,4}:[^/:]*:[^/:]*\Z")
_MODE = re.compile(r":[0-7]{3,4}\Z")
# xattr(7): a name space, a dot and a name. An '=' would end the name in a tar's PAX header.
_XATTR_NAME = re.compile(r"[a-z]+\.[^=\0\n]{1,248}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){0,65536}")
_MAX_MODE = 0o7777
_MAX_ID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class Dir:
    """A folder, which is created together with its parents.

    Attributes:
        path: where it is in the image, with or without a leading slash.
        mode: the permission bits.
        uid: the number of its owner.
        gid: the number of its group.
    """

    path: str
    mode: int = DIRECTORY_MODE
    uid: int = 0
    gid: int = 0

    def __post_init__(self) -> None:
        _check(self.path, self.mode, self.uid, self.gid)

    @classmethod
    def parse(cls, text: str) -> Dir:
        """Parse ``PATH[:MODE[:UID:GID]]``; raise `InvalidArgument` for anything else."""
        path, meta = _split_meta(text)
        return cls(path, meta.mode, meta.uid, meta.gid) if meta else cls(path)

    def apply(self, tree: Tree) -> None:
        """Add the folder to ``tree``, or set the mode and owner of an existing one."""
        tree.put(Directory(_relative_path(self.path)), Meta(self.mode, self.uid, self.gid))


@dataclass(frozen=True, slots=True)
class File:
    """A file with the bytes of another file.

    Attributes:
        path: where it is in the image, with or without a leading slash.
        source: the file on this machine that is copied.
        mode: the permission bits. None means 0755 if the source is executable, else 0644.
        uid: the number of its owner.
        gid: the number of its group.
    """

    path: str
    source: str
    mode: int | None = None
    uid: int = 0
    gid: int = 0

    def __post_init__(self) -> None:
        _check(self.path, self.mode, self.uid, self.gid)

    @classmethod
    def parse(cls, text: str) -> File:
        """Parse ``PATH=SOURCE[:MODE[:UID:GID]]``; raise `InvalidArgument` for anything else."""
        path, equals, rest = text.partition("=")
        source, meta = _split_meta(rest)
        if not equals or not source:
            raise InvalidArgument("file", short_repr(text), "PATH=SOURCE[:MODE[:UID:GID]]")
        return cls(path, source, *((meta.mode, meta.uid, meta.gid) if meta else ()))

    def apply(self, tree: Tree) -> None:
        """Put the file into ``tree``; raise `InputError` if the source is not a regular file."""
        try:
            status = os.stat(self.source)
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"file {self.path}: {self.source}", error, "a file") from error
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"file {self.path}: {self.source}", "no regular file", "a file")
        executable = bool(status.st_mode & stat.S_IXUSR)
        mode = self.mode if self.mode is not None else 0o755 if executable else 0o644
        source = os.fsencode(os.path.realpath(self.source))
        extent = Extent.whole(source, status.st_size, status.st_mtime_ns)
        node = Regular(_relative_path(self.path), bool(mode & stat.S_IXUSR), status.st_size, extent)
        tree.put(node, Meta(mode, self.uid, self.gid))


@dataclass(frozen=True, slots=True)
class SymlinkEntry:
    """A symlink.

    Attributes:
        path: where it is in the image, with or without a leading slash.
        target: what it points to, unchanged.
    """

    path: str
    target: str

    def __post_init__(self) -> None:
        _check(self.path)
        if not isinstance(self.target, str) or not self.target or "\0" in self.target:
            raise InvalidArgument(f"symlink {self.path}", f"target {short_repr(self.target)}", "a string without NUL")

    @classmethod
    def parse(cls, text: str) -> SymlinkEntry:
        """Parse ``PATH=TARGET``; raise `InvalidArgument` for anything else."""
        path, equals, target = text.partition("=")
        if not equals or not target:
            raise InvalidArgument("symlink", short_repr(text), "PATH=TARGET")
        return cls(path, target)

    def apply(self, tree: Tree) -> None:
        """Put the symlink into ``tree``."""
        tree.put(SymlinkNode(_relative_path(self.path), os.fsencode(self.target)), Meta(SYMLINK_MODE))


Symlink = SymlinkEntry
"""The public name, `lamina.Symlink`. The class has another name because `lamina.core.nodes.Symlink` is a node."""


@dataclass(frozen=True, slots=True)
class Perm:
    """A new mode and owner for an existing file or folder.

    Attributes:
        path: where it is in the image, with or without a leading slash.
        mode: the permission bits.
        uid: the number of its owner.
        gid: the number of its group.
    """

    path: str
    mode: int
    uid: int = 0
    gid: int = 0

    def __post_init__(self) -> None:
        _check(self.path, self.mode, self.uid, self.gid)

    @classmethod
    def parse(cls, text: str) -> Perm:
        """Parse ``PATH:MODE[:UID:GID]``; raise `InvalidArgument` for anything else."""
        path, meta = _split_meta(text)
        if meta is None:
            raise InvalidArgument("perm", short_repr(text), "PATH:MODE[:UID:GID]")
        return cls(path, meta.mode, meta.uid, meta.gid)

    def apply(self, tree: Tree) -> None:
        """Set mode and owner; raise `InvalidArgument` if the path does not exist or is a symlink."""
        tree.change(_relative_path(self.path), lambda meta: replace(meta, mode=self.mode, uid=self.uid, gid=self.gid))


@dataclass(frozen=True, slots=True)
class Xattr:
    """An extended attribute, such as ``security.capability``, for an existing file or folder.

    Attributes:
        path: where it is in the image, with or without a leading slash.
        name: the name of the attribute.
        value: its value.
    """

    path: str
    name: str
    value: bytes

    def __post_init__(self) -> None:
        _check(self.path)
        if not isinstance(self.name, str) or not _XATTR_NAME.fullmatch(self.name):
            raise InvalidArgument(f"xattr {self.path}", f"name {short_repr(self.name)}", "SPACE.NAME without '='")
        if not isinstance(self.value, bytes):
            raise InvalidArgument(f"xattr {self.path}", f"value {short_repr(self.value)}", "bytes")

    @classmethod
    def parse(cls, text: str) -> Xattr:
        """Parse ``PATH:NAME=HEX``; raise `InvalidArgument` for anything else."""
        path, colon, rest = text.rpartition(":")
        name, equals, value = rest.partition("=")
        if not colon or not equals or not _HEX.fullmatch(value):
            raise InvalidArgument("xattr", short_repr(text), "PATH:NAME=HEX")
        return cls(path, name, bytes.fromhex(value))

    def apply(self, tree: Tree) -> None:
        """Add or replace the attribute; raise `InvalidArgument` if the path does not exist or is a symlink."""
        tree.change(_relative_path(self.path), self._add_to)

    def _add_to(self, meta: Meta) -> Meta:
        return replace(meta, xattrs=tuple(sorted({**dict(meta.xattrs), self.name: self.value}.items())))


DeclaredEntry = Dir | File | Symlink | Perm | Xattr


def _split_meta(text: str) -> tuple[str, Meta | None]:
    found = _META.search(text)
    rest = text[: found.start()] if found else text
    if not found and _OWNER_NAME.search(text):
        raise InvalidArgument("owner", short_repr(text), ":MODE:UID:GID at its end, in numbers")
    if (_MODE if found else _DIGITS).search(rest):
        raise InvalidArgument("mode", short_repr(text), ":MODE or :MODE:UID:GID at its end, MODE in octal")
    if not found:
        return rest, None
    mode, uid, gid = found.groups(default="0")
    return rest, Meta(int(mode, 8), int(uid), int(gid))


def _check(path: object, mode: object = None, uid: object = 0, gid: object = 0) -> None:
    """Raise `InvalidArgument` for values that a tar header cannot hold."""
    if not isinstance(path, str):
        raise InvalidArgument("path in the image", short_repr(path), "a string")
    _relative_path(path)
    if mode is not None and not _in_range(mode, _MAX_MODE):
        raise InvalidArgument(path, f"mode {short_repr(mode)}", f"a number from 0 to {_MAX_MODE:#o}")
    if not _in_range(uid, _MAX_ID) or not _in_range(gid, _MAX_ID):
        raise InvalidArgument(path, f"owner {short_repr(uid)}:{short_repr(gid)}", f"numbers from 0 to {_MAX_ID}")


def _in_range(number: object, maximum: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= maximum


def _relative_path(path: str) -> bytes:
    """Return ``path`` relative to the root, without slashes at its ends; raise `InvalidArgument` for ``..``."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts or "\0" in path:
        raise InvalidArgument("path in the image", short_repr(path), "an absolute path without '..'")
    return os.fsencode("/".join(parts))
