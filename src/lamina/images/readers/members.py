"""The files that an image is made of, by name: the members of an archive, or the files of a folder.

Invariant: what is found lies in the archive or below the folder, whatever names and links say.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lamina.core.nodes import Extent
from lamina.errors import FormatError, shown
from lamina.formats.headers import EntryKind, headers
from lamina.images.readers.unpack import extent_of
from lamina.system.extents import reading

# More than any image has: an archive that goes on without end must not be held.
_MOST_MEMBERS = 20_000
# As many as Linux follows.
_MOST_LINKS = 40


class Members(Protocol):
    """Files by the names that an image's documents use."""

    def find(self, name: str) -> Extent | None:
        """The file of that name, None where there is none. Raises `FormatError` for a name that leads elsewhere."""


class ArchiveMembers:
    """The members of the tar that lies in ``tar``."""

    def __init__(self, tar: Extent) -> None:
        self._files, self._links = _table(tar)

    def find(self, name: str) -> Extent | None:
        """The member, or the one that links lead to."""
        found: str | None = _asked(name)
        for _ in range(_MOST_LINKS):
            if found not in self._links:
                return self._files.get(found or "")
            found = self._links[found]
            if not found:
                raise FormatError(f"{shown(name)}: got a link that leads out of the archive, expected one inside")
        raise FormatError(f"{shown(name)}: got a link that leads to itself, expected one to a file")


def _table(tar: Extent) -> tuple[Mapping[str, Extent], Mapping[str | None, str | None]]:
    """Files, and links with where they lead: None is out of the archive."""
    files: dict[str, Extent] = {}
    links: dict[str | None, str | None] = {}
    with reading(tar) as read:
        for number, header in enumerate(headers(read, tar.length)):
            if number >= _MOST_MEMBERS:
                raise FormatError(f"got more than {_MOST_MEMBERS} members, expected the few that an image has")
            name = _clean(header.name.decode("utf-8", "surrogateescape"))
            if not name:
                continue
            files.pop(name, None)
            links.pop(name, None)
            target = header.target.decode("utf-8", "surrogateescape")
            match header.kind:
                case EntryKind.FILE if not header.sparse:
                    files[name] = tar.part(header.start, header.size)
                case EntryKind.SYMLINK:
                    links[name] = _joined(name.rpartition("/")[0], target)
                case EntryKind.LINK:
                    links[name] = _joined("", target.lstrip("/"))
    return files, links


class FolderMembers:
    """The files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.realpath(folder))

    def find(self, name: str) -> Extent | None:
        """The file as it is now; links may lead to other places in the folder."""
        try:
            file = Path(os.path.realpath(self._folder / _asked(name), strict=True))
            if not file.is_relative_to(self._folder):
                raise FormatError(f"{shown(name)}: got a link that leads out of the folder, expected one inside")
            return extent_of(file) if stat.S_ISREG(os.stat(file).st_mode) else None
        except (OSError, ValueError):
            return None


def _asked(name: str) -> str:
    found = _clean(name)
    if not found:
        raise FormatError(f"got {shown(name)}, expected the name of a member, without '..'")
    return found


def _clean(name: str) -> str | None:
    """``name`` without '.' and the leading slash that buildpacks write; None for one with '..'."""
    return None if ".." in name.split("/") else _joined("", name.lstrip("/"))


def _joined(folder: str, name: str) -> str | None:
    """``name`` as seen from ``folder``, without '.' and '..'; None where it is absolute or leads above the top."""
    if name.startswith("/"):
        return None
    parts = [part for part in folder.split("/") if part]
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
