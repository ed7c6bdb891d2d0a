"""Find the files of an image by name: the members of an archive, or the files of a folder.

Invariant: a file that is found is in the archive or below the folder, even if names or links point elsewhere.
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
from lamina.images.readers.unpack import get_extent
from lamina.messages.redaction import short_repr
from lamina.system.extents import open_reader

# This is more members than any image has. It limits the memory that an endless archive can use.
_MAX_MEMBERS = 20_000
# The number of symlinks that Linux follows in one path.
_MAX_LINKS = 40


class Members(Protocol):
    """The files of an image, found by the names in its documents."""

    def find(self, name: str) -> Extent | None:
        """Return the file ``name``, or None if there is none. Raises `FormatError` if the name leads outside."""


class ArchiveMembers:
    """The members of the archive ``tar``."""

    def __init__(self, tar: Extent) -> None:
        self._files, self._links = _index_members(tar)

    def find(self, name: str) -> Extent | None:
        """Return the member ``name``, with links followed, or None."""
        current: str | None = _parse_name(name)
        for _ in range(_MAX_LINKS):
            if current not in self._links:
                return self._files.get(current or "")
            current = self._links[current]
            if not current:
                raise FormatError(short_repr(name), "a link that leads out of the archive", "a link inside it")
        raise FormatError(short_repr(name), "a link that leads to itself", "a link to a file")


def _index_members(tar: Extent) -> tuple[Mapping[str, Extent], Mapping[str | None, str | None]]:
    """Return the files of ``tar``, and the targets of its links; None is a target outside of the archive."""
    files: dict[str, Extent] = {}
    links: dict[str | None, str | None] = {}
    with open_reader(tar) as read:
        for number, header in enumerate(read_headers(read, tar.length)):
            if number >= _MAX_MEMBERS:
                raise FormatError(got=f"more than {_MAX_MEMBERS} members", expected="fewer, as in an image file")
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
                    links[name] = _join_path(name.rpartition("/")[0], target)
                case EntryKind.LINK:
                    links[name] = _join_path("", target.lstrip("/"))
    return files, links


class FolderMembers:
    """The files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.realpath(folder))

    def find(self, name: str) -> Extent | None:
        """Return the file ``name`` at its current size; links may lead anywhere inside the folder."""
        try:
            file = Path(os.path.realpath(self._folder / _parse_name(name), strict=True))
            if not file.is_relative_to(self._folder):
                raise FormatError(short_repr(name), "a link that leads out of the folder", "a link inside it")
            return get_extent(file) if stat.S_ISREG(os.stat(file).st_mode) else None
        except (OSError, ValueError):
            return None


def _parse_name(name: str) -> str:
    normalised = _normalise(name)
    if not normalised:
        raise FormatError(got=short_repr(name), expected="the name of a member, without '..'")
    return normalised


def _normalise(name: str) -> str | None:
    """Return ``name`` without '.' and without the leading slash that buildpacks write; None if it contains '..'."""
    return None if ".." in name.split("/") else _join_path("", name.lstrip("/"))


def _join_path(folder: str, name: str) -> str | None:
    """Return ``name`` relative to ``folder``, without '.' and '..'; None if it is absolute or leads above the top."""
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
