"""Where a store path lies on this machine: as files, or as a NAR in a file.

Invariant: both give the same nodes, and the same entries under the same names; only the extents differ.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.core.nodes import Content, Directory, Extent, Node, Regular, Symlink
from lamina.formats.listing import FILE, FOLDER, PROGRAM, SYMLINK, Listing
from lamina.system.narfile import list_nar
from lamina.system.walk import list_tree

Place = bytes | Extent
"""The file or folder that a store path is, or the extent that is its NAR."""

PlacedEntry = tuple[int, bytes, int, bytes, Content]
"""Kind, path relative to the store path, size in bytes, target, content."""


def list_place(place: Place) -> Listing | None:
    """What lies at ``place``; None where that cannot be said (`list_tree`). Raises as `list_tree` and `list_nar` do."""
    return list_nar(place) if isinstance(place, Extent) else list_tree(place)


def name(place: Place) -> bytes:
    """The file or folder at ``place``."""
    return place.file if isinstance(place, Extent) else place


def entries(listing: Listing, place: Place) -> Iterator[PlacedEntry]:
    """The entries of the store path that lies at ``place``, with their contents."""
    if isinstance(place, Extent):
        file, before, total = place.file, place.offset, place.file_size
        for (kind, path, size, stamp, target), offset in listing.archived():
            yield kind, path, size, target, Extent(file, before + offset, size, total, stamp) if kind >= FILE else b""
        return
    inside = place + b"/"
    for kind, path, size, stamp, target in listing:
        if kind >= FILE:
            yield kind, path, size, target, Extent(inside + path if path else place, 0, size, size, stamp)
        else:
            yield kind, path, size, target, b""


def nodes(listing: Listing, place: Place) -> Iterator[Node]:
    """The nodes of the store path that lies at ``place``.

    A NAR may be a newer file than the one that was listed: it is called by its hash, so it says the same.
    """
    for kind, path, size, target, content in entries(listing, place):
        if kind == FOLDER:
            yield Directory(path)
        elif kind == SYMLINK:
            yield Symlink(path, target)
        else:
            yield Regular(path, kind == PROGRAM, size, _as_now(content, place))


def _as_now(content: Content, place: Place) -> Content:
    if isinstance(content, Extent) and isinstance(place, Extent):
        return content._replace(stamp=place.stamp)
    return content
