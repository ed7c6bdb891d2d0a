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
from lamina.errors import FormatError
from lamina.formats.tar_reader import EntryKind, read_headers
from lamina.images.readers.unpack import extent_of
from lamina.messages.redaction import short_repr
from lamina.system.extents import open_reader

# More than any image has: an archive that goes on without end must not be held.
_MAX_MEMBERS = 20_000
# As many as Linux follows.
_MAX_LINKS = 40


class Members(Protocol):
    """Files by the names that an image's documents use."""

    def find(self, name: str) -> Extent | None:
        """The file of that name, None where there is none. Raises `FormatError` for a name that leads elsewhere."""


class ArchiveMembers:
    """The members of the tar that lies in ``tar``."""

    def __init__(self, tar: Extent) -> None:
        self._files, self._links = _index_members(tar)

    def find(self, name: str) -> Extent | None:
        """The member, or the one that links lead to."""
        found: str | None = _parse_name(name)
        for _ in range(_MAX_LINKS):
            if found not in self._links:
                return self._files.get(found or "")
            found = self._links[found]
            if not found:
                raise FormatError(f"{short_repr(name)}: got a link that leads out of the archive, expected one inside")
        raise FormatError(f"{short_repr(name)}: got a link that leads to itself, expected one to a file")


def _index_members(tar: Extent) -> tuple[Mapping[str, Extent], Mapping[str | None, str | None]]:
    """Files, and links with where they lead: None is out of the archive."""
    files: dict[str, Extent] = {}
    links: dict[str | None, str | None] = {}
    with open_reader(tar) as read:
        for number, header in enumerate(read_headers(read, tar.length)):
            if number >= _MAX_MEMBERS:
                raise FormatError(f"got more than {_MAX_MEMBERS} members, expected the few that an image has")
            name = _normalise(header.name.decode("utf-8", "surrogateescape"))
            if not name:
                continue
            files.pop(name, None)
            links.pop(name, None)
            target = header.target.decode("utf-8", "surrogateescape")
            match header.kind:
                case EntryKind.FILE if not header.sparse:
                    files[name] = tar.part(header.start, header.size)
                case EntryKind.SYMLINK:
                    links[name] = _join(name.rpartition("/")[0], target)
                case EntryKind.LINK:
                    links[name] = _join("", target.lstrip("/"))
    return files, links


class FolderMembers:
    """The files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.realpath(folder))

    def find(self, name: str) -> Extent | None:
        """The file as it is now; links may lead to other places in the folder."""
        try:
            file = Path(os.path.realpath(self._folder / _parse_name(name), strict=True))
            if not file.is_relative_to(self._folder):
                raise FormatError(f"{short_repr(name)}: got a link that leads out of the folder, expected one inside")
            return extent_of(file) if stat.S_ISREG(os.stat(file).st_mode) else None
        except (OSError, ValueError):
            return None


def _parse_name(name: str) -> str:
    found = _normalise(name)
    if not found:
        raise FormatError(f"got {short_repr(name)}, expected the name of a member, without '..'")
    return found


def _normalise(name: str) -> str | None:
    """``name`` without '.' and the leading slash that buildpacks write; None for one with '..'."""
    return None if ".." in name.split("/") else _join("", name.lstrip("/"))


def _join(folder: str, name: str) -> str | None:
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
