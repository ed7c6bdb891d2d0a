"""Where a store path lies on this machine: as files, or as a NAR in a file.

Invariant: both give the same nodes, and the same entries under the same names; only the extents differ.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.core.nodes import Content, Directory, Extent, Node, Regular, Symlink
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, Listing
from lamina.system.narfile import list_nar
from lamina.system.walk import list_tree

Location = bytes | Extent
"""The file or folder that a store path is, or the extent that is its NAR."""

LocatedEntry = tuple[int, bytes, int, bytes, Content]
"""Kind, path relative to the store path, size in bytes, target, content."""


def list_location(location: Location) -> Listing | None:
    """Return what lies at ``location``; None where `list_tree` says None. Raises as `list_tree` and `list_nar` do."""
    return list_nar(location) if isinstance(location, Extent) else list_tree(location)


def disk_path(location: Location) -> bytes:
    """The file or folder at ``location``."""
    return location.file if isinstance(location, Extent) else location


def entries(listing: Listing, location: Location) -> Iterator[LocatedEntry]:
    """The entries of the store path that lies at ``location``, with their contents."""
    if isinstance(location, Extent):
        file, before, total = location.file, location.offset, location.file_size
        for (kind, path, size, mtime_ns, target), offset in listing.with_nar_offsets():
            yield (
                kind,
                path,
                size,
                target,
                Extent(file, before + offset, size, total, mtime_ns) if kind >= FILE else b"",
            )
        return
    inside = location + b"/"
    for kind, path, size, mtime_ns, target in listing:
        if kind >= FILE:
            yield kind, path, size, target, Extent(inside + path if path else location, 0, size, size, mtime_ns)
        else:
            yield kind, path, size, target, b""


def nodes(listing: Listing, location: Location) -> Iterator[Node]:
    """The nodes of the store path that lies at ``location``.

    A NAR may be a newer file than the one that was listed: it is called by its hash, so it says the same.
    """
    for kind, path, size, target, content in entries(listing, location):
        if kind == FOLDER:
            yield Directory(path)
        elif kind == SYMLINK:
            yield Symlink(path, target)
        else:
            yield Regular(path, kind == EXECUTABLE, size, _with_current_stamp(content, location))


def _with_current_stamp(content: Content, location: Location) -> Content:
    if isinstance(content, Extent) and isinstance(location, Extent):
        return content._replace(mtime_ns=location.mtime_ns)
    return content
