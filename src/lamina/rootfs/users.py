"""Add users to ``/etc/passwd`` and ``/etc/group``, with their groups and home folders.

Existing lines of the files stay, regardless of whether they come from a base image, ``--with nss`` or a store path.
``shadow`` and ``gshadow`` get a line only if the image has these files, because nixpkgs' fakeNss does not have them.
The formats are those of passwd(5), group(5), shadow(5) and gshadow(5).
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from lamina.core.names import STORE_DIR, StorePath
from lamina.core.nodes import Directory, Regular, Symlink
from lamina.errors import Error, InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.rootfs.accounts import GROUP, MAX_ACCOUNT_FILE_SIZE, PASSWD, FindFile, find_no_file
from lamina.rootfs.tree import DIRECTORY_MODE, FILE_MODE, Meta, Tree
from lamina.stores.store import Store
from lamina.system.extents import read_head

_FORM = "NAME:UID[:GID[:HOME]]"
# The names that useradd(8) accepts by default, and also capitals and dots, which it accepts with --badname.
_NAME = "[A-Za-z_][A-Za-z0-9_.-]{0,31}"
_ID = "[0-9]{1,10}"
_MAX_ID = 2**32 - 2
# fakeNss has the same home folder for root and nobody.
_NO_HOME = "/var/empty"
_SHELL = "/bin/sh"
_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class User:
    """A user of the image.

    Attributes:
        name: the name of the user, and of the user's group if no group with that number exists.
        uid: the user's number.
        gid: the number of the user's group; None for the same number as ``uid``.
        home: the home folder, which is created for the user; None for ``/var/empty``, as for the user nobody.

    """

    name: str
    uid: int
    gid: int | None = None
    home: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(_NAME, self.name):
            raise InvalidArgument(
                "user", short_repr(self.name), "a name of letters, digits, '_', '-' and '.', at most 32"
            )
        for kind, number in (("uid", self.uid), ("gid", self.gid)):
            is_number = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= _MAX_ID
            if not is_number and not (kind == "gid" and number is None):
                raise InvalidArgument(
                    f"user {self.name}", f"{kind} {short_repr(number)}", f"a number from 0 to {_MAX_ID}"
                )
        if self.home is not None and not _is_home(self.home):
            raise InvalidArgument(
                f"user {self.name}", f"home {short_repr(self.home)}", "an absolute path without ':' and '..'"
            )

    @classmethod
    def parse(cls, text: str) -> User:
        """Parse ``NAME:UID[:GID[:HOME]]``. An empty GID means the same number as UID. Raises `InvalidArgument`."""
        name, *rest = text.split(":", 3)
        uid, gid, home = (*rest, *[""] * (3 - len(rest)))
        if not re.fullmatch(_ID, uid) or (gid and not re.fullmatch(_ID, gid)) or text.endswith(":"):
            raise InvalidArgument("user", short_repr(text), f"{_FORM}, with numbers for UID and GID")
        return cls(name, int(uid), int(gid) if gid else None, home or None)

    @property
    def group_id(self) -> int:
        """The number of the user's group."""
        return self.uid if self.gid is None else self.gid

    @property
    def passwd_line(self) -> str:
        """The line of the user in ``/etc/passwd``."""
        return f"{self.name}:x:{self.uid}:{self.group_id}::{self.home or _NO_HOME}:{_SHELL}"

    @property
    def group_line(self) -> str:
        """The line of the user's group in ``/etc/group``."""
        return f"{self.name}:x:{self.group_id}:"


def add_users(users: Iterable[User], tree: Tree, store: Store, find: FindFile = find_no_file) -> None:
    """Add users, their groups and their home folders to ``tree``.

    A user that exists with the same values is not changed. Files that are neither in the tree nor in the base image are
    created with the accounts of ``--with nss``.

    Args:
        users: the users.
        tree: the image's root, which may have links to files in the store.
        store: the store that the links lead to.
        find: finds the files of the base image.

    Raises:
        InvalidArgument: a name or a number belongs to another user or group, or a file or folder of another kind is at
            one of the paths.

    """
    users = tuple(users)
    if not users:
        return
    files = _AccountFiles(tree, store, find)
    passwd, group = files.open(b"etc/passwd", PASSWD), files.open(b"etc/group", GROUP)
    shadow, gshadow = files.open(b"etc/shadow"), files.open(b"etc/gshadow")
    for user in users:
        if not _has_user(passwd, user):
            home = user.home or _NO_HOME
            passwd.add(user.passwd_line)
            shadow.add(f"{user.name}:!:::::::")
            if user.home is None and tree.node(_relative(home)) is None:
                tree.put(Directory(_relative(home)), Meta(DIRECTORY_MODE))
        if not _has_group(group, user):
            group.add(user.group_line)
            gshadow.add(f"{user.name}:!::")
        if path := _relative(user.home or "/"):
            tree.put(Directory(path), Meta(DIRECTORY_MODE, user.uid, user.group_id))
    for file in (passwd, group, shadow, gshadow):
        file.save(tree)


def list_lost_users(
    users: Collection[User], tree: Tree, store: Store, find: FindFile = find_no_file
) -> tuple[tuple[User, str], ...]:
    """Return each of ``users`` that an account file lacks, with the path of that file; arguments as in `add_users`.

    A step after `add_users` can replace a file, and its lines with it.
    """
    files = _AccountFiles(tree, store, find)
    passwd, group = ([*files.read(path)] for path in (b"etc/passwd", b"etc/group"))
    names, groups = {(row[0], row[2]) for row in passwd if len(row) > 2}, {row[2] for row in group if len(row) > 2}
    lost = [(user, "/etc/passwd") for user in users if (user.name, str(user.uid)) not in names]
    return *lost, *((user, "/etc/group") for user in users if str(user.group_id) not in groups)


def list_unknown_accounts(
    user: str, tree: Tree, store: Store, find: FindFile = find_no_file
) -> tuple[tuple[str, str], ...]:
    """Return each name in ``user``, in the form ``USER[:GROUP]`` of a config, that the image's account file lacks.

    The path of the file comes with each name. Numbers need no line in a file, and a file that cannot be read may have
    any name. The other arguments are as in `add_users`.
    """
    files = _AccountFiles(tree, store, find)
    unknown = []
    for name, path in zip(user.split(":", 1), (b"etc/passwd", b"etc/group"), strict=False):
        if not name or re.fullmatch(_ID, name):
            continue
        with suppress(Error):
            if all(row[0] != name for row in files.open(path).rows):
                unknown.append((name, f"/{path.decode()}"))
    return tuple(unknown)


def restore_home_owners(users: Iterable[User], tree: Tree) -> None:
    """Restore the owners of home folders after scripts, except for folders whose owner a script has changed.

    Scripts run as the user who builds the image, so afterwards all files that they saw belong to root.
    """
    for user in users:
        path = _relative(user.home or "/")
        node, meta = tree.node(path), tree.meta(path)
        if path and meta and isinstance(node, Directory) and (meta.uid, meta.gid) == (0, 0):
            tree.put(node, replace(meta, uid=user.uid, gid=user.group_id))


class _AccountFile:
    """The lines of an account file. ``is_there`` says whether the image has the file or will have it."""

    def __init__(self, path: bytes, content: bytes, meta: Meta, *, is_there: bool) -> None:
        self.is_there = is_there
        self._path = path
        self._content = content
        self._meta = meta
        self._added: list[str] = []

    @property
    def rows(self) -> Iterator[list[str]]:
        """The fields of each line, including added lines."""
        lines = [*self._content.decode("utf-8", "surrogateescape").splitlines(), *self._added]
        return (line.split(":") for line in lines if line and not line.startswith("#"))

    def add(self, line: str) -> None:
        """Add ``line`` if the file exists and has no line with the same name yet."""
        name = line.partition(":")[0]
        if self.is_there and all(fields[0] != name for fields in self.rows):
            self._added.append(line)

    def save(self, tree: Tree) -> None:
        """Put the file into ``tree`` if a line was added."""
        if not self._added:
            return
        start = self._content if self._content.endswith(b"\n") or not self._content else self._content + b"\n"
        content = start + "".join(f"{line}\n" for line in self._added).encode()
        tree.put(Regular(self._path, False, len(content), content), self._meta)


class _AccountFiles:
    """Opens account files of the image: from its root, from the store that a link leads to, or from the base image."""

    def __init__(self, tree: Tree, store: Store, find: FindFile) -> None:
        self._tree = tree
        self._store = store
        self._find = find

    def open(self, path: bytes, default: bytes | None = None) -> _AccountFile:
        """Open the file at ``path``; it has the content ``default`` if the image has no such file."""
        base = None if path in self._tree else self._find(path, MAX_ACCOUNT_FILE_SIZE)
        real = base.path if base else path
        match self._tree.node(real):
            case Regular() as node:
                content = read_head(node.content, min(node.size, MAX_ACCOUNT_FILE_SIZE))
                return _AccountFile(real, content, self._tree.meta(real) or Meta(FILE_MODE), is_there=True)
            case Symlink(target=target):
                return _AccountFile(real, self._read_in_store(real, target), Meta(FILE_MODE), is_there=True)
            case Directory():
                raise InvalidArgument(f"/{os.fsdecode(real)}", "a folder there", "a file that users can be added to")
        if base:
            return _AccountFile(real, base.content, base.meta, is_there=True)
        return _AccountFile(real, default or b"", Meta(FILE_MODE), is_there=default is not None)

    def read(self, path: bytes) -> Iterator[list[str]]:
        """Return the fields of each line of the file at ``path``; there is none if no user could be added to it."""
        try:
            return self.open(path).rows
        except InvalidArgument:
            return iter(())

    def _read_in_store(self, path: bytes, target: bytes) -> bytes:
        """Return the content of the file in the store that the link at ``path`` leads to."""
        text = os.fsdecode(target)
        for _ in range(_MAX_LINKS):
            if not text.startswith(f"{STORE_DIR}/"):
                break
            store_path, inside = StorePath.split(text)
            nodes = (node for node in self._store.nodes(store_path) if node.path == os.fsencode(inside))
            match next(nodes, None):
                case Regular(size=size, content=content) if size <= MAX_ACCOUNT_FILE_SIZE:
                    return read_head(content, size)
                case Symlink(target=next_target):
                    text = posixpath.normpath(posixpath.join(posixpath.dirname(text), os.fsdecode(next_target)))
                case _:
                    break
        raise InvalidArgument(
            f"/{os.fsdecode(path)}",
            f"a symlink to {os.fsdecode(target)}",
            "a file, or a link to one in the store, that users can be added to",
        )


def _has_user(passwd: _AccountFile, user: User) -> bool:
    """Return whether ``passwd`` has the user. Raise `InvalidArgument` if the name or number belongs to another user."""
    for name, uid, gid, home in ((row[0], row[2], row[3], row[5]) for row in passwd.rows if len(row) > 5):
        if name == user.name:
            if (uid, gid) == (str(user.uid), str(user.group_id)) and user.home in (None, home):
                return True
            raise InvalidArgument(
                f"user {name}", f"uid {uid}, gid {gid} and home {home} in /etc/passwd", "the same values"
            )
        if uid == str(user.uid):
            raise InvalidArgument(f"user {user.name}", f"uid {uid}, which {name} has already", "a uid of its own")
    return False


def _has_group(group: _AccountFile, user: User) -> bool:
    """Return whether ``group`` has the user's group. Raise `InvalidArgument` if the name has another number."""
    numbers = {row[0]: row[2] for row in group.rows if len(row) > 2}
    if str(user.group_id) in numbers.values():
        return True
    if user.name in numbers:
        raise InvalidArgument(
            f"user {user.name}",
            f"gid {user.group_id}, which no group has",
            f"{numbers[user.name]}, that of the group {user.name}",
        )
    return False


def _is_home(home: object) -> bool:
    return (
        isinstance(home, str)
        and home.startswith("/")
        and ":" not in home
        and home.isprintable()
        and ".." not in home.split("/")
    )


def _relative(path: str) -> bytes:
    """Return ``path`` relative to the root, without slashes at its ends."""
    return os.fsencode(posixpath.normpath(path).strip("/"))
