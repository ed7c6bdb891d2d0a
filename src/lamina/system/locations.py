"""Read a store path at its location on this machine, which is a file tree or a NAR in a file.

Invariant: both kinds of location give the same nodes and the same entries; only the extents differ.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.core.nodes import Content, Directory, Extent, Node, Regular, Symlink
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, Entry, Listing
from lamina.system.narfile import list_nar
from lamina.system.walk import list_tree

Location = bytes | Extent
"""Where a store path is: the path of its file or folder, or the extent of a file that contains its NAR."""


def list_location(location: Location) -> Listing | None:
    """List the entries at ``location``; return None where `list_tree` does.

    Raises what `list_tree` and `list_nar` raise.
    """
    return list_nar(location) if isinstance(location, Extent) else list_tree(location)


def disk_path(location: Location) -> bytes:
    """Return the path on disk of ``location``: the path of the file tree, or of the file that contains the NAR."""
    return location.file if isinstance(location, Extent) else location


def iter_entries(listing: Listing, location: Location) -> Iterator[Entry]:
    """Yield the entries of the store path at ``location``, with their contents."""
    if isinstance(location, Extent):
        file, start, total = location.file, location.offset, location.file_size
        for (kind, path, size, target, mtime_ns), offset in listing.with_nar_offsets():
            content: Content = Extent(file, start + offset, size, total, mtime_ns) if kind >= FILE else b""
            yield Entry(kind, path, size, target, content)
        return
    prefix = location + b"/"
    for kind, path, size, target, mtime_ns in listing:
        if kind >= FILE:
            file = prefix + path if path else location
            yield Entry(kind, path, size, target, Extent(file, 0, size, size, mtime_ns))
        else:
            yield Entry(kind, path, size, target, b"")


def iter_nodes(listing: Listing, location: Location) -> Iterator[Node]:
    """Yield the nodes of the store path at ``location``.

    The file with a NAR may have been replaced since it was listed. Its name is the NAR's hash, so the content is the
    same, and its current modification time is used.
    """
    for kind, path, size, target, content in iter_entries(listing, location):
        if kind == FOLDER:
            yield Directory(path)
        elif kind == SYMLINK:
            yield Symlink(path, target)
        else:
            yield Regular(path, kind == EXECUTABLE, size, _with_current_mtime(content, location))


def _with_current_mtime(content: Content, location: Location) -> Content:
    if isinstance(content, Extent) and isinstance(location, Extent):
        return content._replace(mtime_ns=location.mtime_ns)
    return content
