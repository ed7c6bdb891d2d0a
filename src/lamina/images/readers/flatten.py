"""Compute the root file system of an image from its layers.

The rules are those of OCI image-spec, layer.md, "Applying Changesets" and "Whiteouts". Layers are applied from the
lowest up:

- A folder over a folder replaces its metadata. Any other entry replaces the entry at its path and everything below it.
- ``.wh.NAME`` removes the NAME of lower layers, and ``.wh..wh..opq`` removes everything of lower layers in its folder.
  The members of the same layer stay, regardless of the whiteout's position in the layer.
- If the folder of a member is a symlink, the member is placed at the link's target, as in every engine. Folders that
are
  only implied by the names of their members belong to root and have the mode 0755.
- A hard link refers to the file that is at its target's path when the link is applied.

Invariant: nothing in a layer reaches outside the root: ``..`` and links with any target stop at ``/``.

    >>> from lamina.images.readers.flatten import Rootfs
    >>> Rootfs().resolve(b"bin/../../etc/./passwd")
    b'etc/passwd'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from lamina.core.nodes import Extent
from lamina.errors import FormatError, error_context
from lamina.formats.tar import OPAQUE, WHITEOUT
from lamina.formats.tar_reader import EntryKind, TarHeader, read_headers
from lamina.messages.redaction import short_repr
from lamina.system.extents import open_reader, read_head

# The prefix of AUFS's own files. Other programs use only one of them, the opaque whiteout.
_AUFS_PREFIX = b".wh..wh."
# Linux's limits: PATH_MAX in bytes, and the number of symlinks that it follows in one path.
_MAX_NAME_LENGTH = 4096
_MAX_LINKS = 40
# This is more members and implied folders than any image has, but few enough to be held in memory.
_MAX_MEMBERS = 1_000_000
# The number of steps along paths plus the entries inspected for whiteouts. It takes a few seconds to reach this limit.
# An image of a million members, each 20 folders deep, takes 20 million steps.
_MAX_STEPS = 40_000_000


class LayerTar(Protocol):
    """A layer whose tar can be read."""

    @property
    def tar(self) -> Extent:
        """The uncompressed tar."""


@dataclass(frozen=True, slots=True, eq=False)
class RootEntry:
    """The file, folder or other entry at a path.

    ``header`` is the tar header that created the entry, never that of a hard link. ``layer`` is the number of its
    layer, counted from 0. Several hard links to one file share one object. Implied folders have the layer -1 and share
    one object.
    """

    header: TarHeader
    layer: int
    _tar: Extent

    @property
    def kind(self) -> EntryKind:
        """The kind of the entry, never `EntryKind.LINK`."""
        return self.header.kind

    @property
    def content(self) -> Extent:
        """The bytes of a file. Raises `FormatError` for a sparse file, whose data is stored in pieces."""
        if self.header.sparse:
            raise FormatError(_quote(self.header.name), "a sparse file", "a file that is stored completely")
        return self._tar.part(self.header.start, self.header.size)


class Rootfs:
    """A root file system.

    Paths are relative to the root, without ``.``, ``..`` and leading or trailing slashes; the root itself is ``b""``.
    """

    def __init__(self) -> None:
        self._root = _Node(_IMPLIED, -1)
        self._members = 0
        self._steps = 0

    def entry(self, path: bytes) -> RootEntry | None:
        """Return the entry at ``path`` without following symlinks, or None if there is none."""
        node: _Node | None = self._root
        for name in _split_path(path):
            node = node.children.get(name) if node and node.children is not None else None
        return node.entry if node else None

    def kind(self, path: bytes) -> EntryKind | None:
        """Return the kind of the entry at ``path``, or None if there is none."""
        entry = self.entry(path)
        return entry.kind if entry else None

    def resolve(self, path: bytes, *, follow: bool = True) -> bytes:
        """Follow the symlinks of ``path`` inside the root and return the resulting path.

        A symlink at the path's end is followed only with ``follow``. A part of the path that does not exist is kept
        unchanged. Raises `FormatError` for a loop.
        """
        return b"/".join(name for name, _ in self._walk(_split_path(path), follow=follow))

    def read(self, path: bytes) -> bytes | None:
        """Return the content of the file that ``path`` leads to, or None if there is no file. Raises `FormatError`."""
        entry = self.entry(self.resolve(path))
        if not entry or entry.kind is not EntryKind.FILE:
            return None
        return read_head(entry.content, entry.header.size)

    def __iter__(self) -> Iterator[tuple[bytes, RootEntry]]:
        """Yield every path with its entry: the root first, parents before their children, siblings in byte order."""
        pending = [(b"", self._root)]
        while pending:
            path, node = pending.pop()
            yield path, node.entry
            if node.children:
                prefix = path + b"/" if path else b""
                pending += [(prefix + name, node.children[name]) for name in sorted(node.children, reverse=True)]

    def _walk(self, parts: list[bytes], *, follow: bool, create: int | None = None) -> list[tuple[bytes, _Node | None]]:
        """Return the steps from the root along ``parts``. The first missing node and all after it are None.

        If ``create`` is the number of a layer, missing folders are created for that layer, except those that only occur
        in a symlink's target.
        """
        steps: list[tuple[bytes, _Node | None]] = []
        pending = parts[::-1]
        links = 0
        from_targets = 0  # how many of the next names come from the targets of symlinks
        while pending:
            self._count_steps(1)
            name = pending.pop()
            is_from_target = from_targets > 0
            from_targets -= is_from_target
            if name == b"..":
                del steps[-1:]
                continue
            parent = steps[-1][1] if steps else self._root
            siblings = parent.children if parent else None
            node = siblings.get(name) if siblings is not None else None
            if node and node.entry.kind is EntryKind.SYMLINK and (pending or follow):
                target = node.entry.header.target
                links += 1
                if links > _MAX_LINKS:
                    raise FormatError(
                        _quote(b"/".join(parts)), f"more than {_MAX_LINKS} links", "a path without a loop"
                    )
                if target.startswith(b"/"):
                    steps.clear()
                names = _split_path(target)
                from_targets += len(names)
                pending += names[::-1]
                continue
            if not node and siblings is not None and create is not None and not is_from_target:
                self._count_member()
                node = siblings[name] = _Node(_IMPLIED, create)
            steps.append((name, node))
        return steps

    def _apply(self, tar: Extent, layer: int) -> None:
        with open_reader(tar) as read:
            for header in read_headers(read, tar.length):
                self._count_member()
                self._add(RootEntry(header, layer, tar))

    def _count_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise FormatError(got=f"more than {_MAX_MEMBERS} members", expected="fewer")

    def _count_steps(self, count: int) -> None:
        self._steps += count
        if self._steps > _MAX_STEPS:
            raise FormatError(got=f"names and whiteouts that take more than {_MAX_STEPS} steps", expected="fewer steps")

    def _add(self, entry: RootEntry) -> None:
        header = entry.header
        if len(header.name) > _MAX_NAME_LENGTH:
            raise FormatError(_quote(header.name), f"a name of {len(header.name)} bytes", "at most 4096")
        *parents, name = _split_path(header.name) or [b""]
        if not name:
            self._declare_root(entry)
        elif b".." in (*parents, name):
            raise FormatError(_quote(header.name), "a name with '..'", "a name without it")
        elif any(part.startswith(_AUFS_PREFIX) for part in parents) or (
            name.startswith(_AUFS_PREFIX) and name != OPAQUE
        ):
            return
        elif any(part.startswith(WHITEOUT) for part in parents):
            raise FormatError(_quote(header.name), "a folder with the name of a whiteout", "a file")
        elif name.startswith(WHITEOUT):
            self._apply_whiteout(parents, name[len(WHITEOUT) :], entry)
        else:
            self._put(parents, name, entry)

    def _declare_root(self, entry: RootEntry) -> None:
        if entry.kind is not EntryKind.DIRECTORY:
            raise FormatError(_quote(entry.header.name), f"a {entry.kind.value} for the root", "a folder")
        self._root.entry, self._root.layer = entry, entry.layer

    def _apply_whiteout(self, parents: list[bytes], name: bytes, entry: RootEntry) -> None:
        steps = self._walk(parents, follow=True)
        folder = steps[-1][1] if steps else self._root
        if name in (b"", b".", b".."):
            raise FormatError(_quote(entry.header.name), f"a whiteout of {_quote(name)}", "a name")
        if not folder or folder.children is None:
            return
        if WHITEOUT + name == OPAQUE:
            self._prune(folder, entry.layer)
        elif name in folder.children:
            hidden = folder.children[name]
            if not self._prune(hidden, entry.layer):
                del folder.children[name]
            elif hidden.layer != entry.layer:
                hidden.entry, hidden.layer = _IMPLIED, entry.layer

    def _prune(self, top: _Node, layer: int) -> bool:
        """Remove everything below ``top`` that belongs to layers below ``layer``.

        Return whether ``top`` or anything below it belongs to ``layer``. A folder of a lower layer that contains
        entries of ``layer`` stays as an implied folder.
        """
        order = [top]
        for node in order:
            order += (node.children or {}).values()
        self._count_steps(len(order))
        own = set()
        for node in reversed(order):
            children = node.children
            if children is not None:
                for name in [name for name, child in children.items() if id(child) not in own]:
                    del children[name]
            if node.layer == layer or children:
                own.add(id(node))
                if node.layer != layer and node is not top:
                    node.entry, node.layer = _IMPLIED, layer
        return id(top) in own

    def _put(self, parents: list[bytes], name: bytes, entry: RootEntry) -> None:
        folder = self._open_folder(parents, entry)
        old = folder.pop(name, None)
        if entry.kind is EntryKind.DIRECTORY and old and old.children is not None:
            old.entry, old.layer = entry, entry.layer
            folder[name] = old
        else:
            folder[name] = _Node(self._resolve_hard_link(entry) if entry.kind is EntryKind.LINK else entry, entry.layer)

    def _open_folder(self, parents: list[bytes], entry: RootEntry) -> dict[bytes, _Node]:
        """Return the children of the folder that ``parents`` leads to, and create it if it is missing."""
        steps = self._walk(parents, follow=True, create=entry.layer)
        node = steps[-1][1] if steps else self._root
        if not node or node.children is None:
            got = f"a {node.entry.kind.value}" if node else "a link to nothing"
            raise FormatError(_quote(entry.header.name), f"{got} above it", "a folder")
        return node.children

    def _resolve_hard_link(self, entry: RootEntry) -> RootEntry:
        target = entry.header.target
        parts = _split_path(target)
        if b".." in parts:
            raise FormatError(_quote(target), "a hard link to a name with '..'", "a target inside the root")
        steps = self._walk(parts, follow=False)
        node = steps[-1][1] if steps else self._root
        if not node or node.children is not None:
            got = "a folder" if node else "nothing there"
            raise FormatError(_quote(target), got, f"the target of the hard link {_quote(entry.header.name)}")
        return node.entry


def flatten(layers: Iterable[LayerTar]) -> Rootfs:
    """Return the root file system of ``layers``, given from the lowest up. Only tar headers are read.

    Raises:
        FormatError: a layer is invalid; the message names the layer, counted from 1.
        IntegrityError: the image file has changed since it was opened.

    """
    rootfs = Rootfs()
    for number, layer in enumerate(layers):
        with error_context(f"layer {number + 1}", FormatError):
            rootfs._apply(layer.tar, number)  # noqa: SLF001 - only this function fills a Rootfs
    return rootfs


class _Node:
    """A node of the tree; ``layer`` is the last layer that put an entry here."""

    __slots__ = ("children", "entry", "layer")

    def __init__(self, entry: RootEntry, layer: int) -> None:
        self.entry = entry
        self.layer = layer
        self.children: dict[bytes, _Node] | None = {} if entry.kind is EntryKind.DIRECTORY else None


def _quote(name: bytes) -> str:
    return short_repr(name.decode("utf-8", "backslashreplace"))


def _split_path(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


_NOWHERE = Extent(b"", 0, 0, 0, 0)
_IMPLIED = RootEntry(
    TarHeader(b"", EntryKind.DIRECTORY, 0o755, 0, 0, b"", b"", 0, 0, 0, b"", (0, 0), (), sparse=False), -1, _NOWHERE
)
