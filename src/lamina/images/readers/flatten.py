"""The root file system that an image's layers make.

Invariant: nothing in a layer reaches outside the root: '..' and links end at ``/``, whatever they say.

OCI image-spec, layer.md, "Applying Changesets" and "Whiteouts". Layers are laid over one another from the lowest up:

- a folder over a folder changes what the header says, anything over anything else replaces it with all below it;
- ``.wh.NAME`` removes what lower layers have at NAME, ``.wh..wh..opq`` all that they have in its folder; the layer's
  own members stay, wherever in the layer the whiteout stands;
- a member whose folder is a symlink lands where the link leads, as in every engine; folders that nobody declared are
  root's, with mode 0755;
- a hard link is to what its target is called at that moment.

    >>> from lamina.images.readers.flatten import Rootfs
    >>> Rootfs().resolve(b"bin/../../etc/./passwd")
    b'etc/passwd'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from lamina.core.nodes import Extent
from lamina.errors import FormatError
from lamina.formats.tar import OPAQUE, WHITEOUT
from lamina.formats.tar_reader import EntryKind, TarHeader, read_headers
from lamina.messages.redaction import short_repr
from lamina.system.extents import open_reader, read_head

# What AUFS kept for itself; only this one means something to others.
_META = b".wh..wh."
# Linux's limits: PATH_MAX, and how many links it follows.
_LONGEST_NAME = 4096
_MAX_LINKS = 40
# More members, and folders that only their names imply, than any image has, and what memory can hold.
_MAX_MEMBERS = 1_000_000
# Steps along paths, and entries looked at for a whiteout: a few seconds. An image of a million members that lie 20
# folders deep takes 20 million.
_MAX_STEPS = 40_000_000


class LayerTar(Protocol):
    """What is needed of a layer."""

    @property
    def tar(self) -> Extent:
        """Its uncompressed tar."""


@dataclass(frozen=True, slots=True, eq=False)
class RootEntry:
    """What is at a path: the header that put it there, never a hard link's, and of which layer, counted from 0.

    Hard links of one another are one and the same value. Folders that no layer declared are of layer -1, all one value.
    """

    header: TarHeader
    layer: int
    _tar: Extent

    @property
    def kind(self) -> EntryKind:
        """Anything but `EntryKind.LINK`."""
        return self.header.kind

    @property
    def content(self) -> Extent:
        """Where a file's bytes are. Raises `FormatError` for one that is stored with holes, in pieces."""
        if self.header.sparse:
            raise FormatError(f"{_quote(self.header.name)}: got a sparse file, expected one that is stored whole")
        return self._tar.part(self.header.start, self.header.size)


class Rootfs:
    """Paths are relative to the root, without '.', '..' or a slash at either end; the root itself is empty."""

    def __init__(self) -> None:
        self._root = _Node(_IMPLIED, -1)
        self._members = 0
        self._steps = 0

    def entry(self, path: bytes) -> RootEntry | None:
        """What is at ``path``, no link followed; None where nothing is."""
        node: _Node | None = self._root
        for name in _parts(path):
            node = node.children.get(name) if node and node.children is not None else None
        return node.entry if node else None

    def kind(self, path: bytes) -> EntryKind | None:
        """The kind of `entry`."""
        entry = self.entry(path)
        return entry.kind if entry else None

    def resolve(self, path: bytes, *, follow: bool = True) -> bytes:
        """Where ``path`` leads when links are followed inside the root, the last one only where ``follow``.

        From where nothing is any more the rest is taken as it stands. Raises `FormatError` for a loop.
        """
        return b"/".join(name for name, _ in self._walk(_parts(path), follow=follow))

    def read(self, path: bytes) -> bytes | None:
        """The content of the file that ``path`` leads to, None where there is none. Raises `FormatError`."""
        entry = self.entry(self.resolve(path))
        if not entry or entry.kind is not EntryKind.FILE:
            return None
        return read_head(entry.content, entry.header.size)

    def __iter__(self) -> Iterator[tuple[bytes, RootEntry]]:
        """Every path and what is there: the root first, parents before what they hold, siblings by their bytes."""
        waiting = [(b"", self._root)]
        while waiting:
            path, node = waiting.pop()
            yield path, node.entry
            if node.children:
                prefix = path + b"/" if path else b""
                waiting += [(prefix + name, node.children[name]) for name in sorted(node.children, reverse=True)]

    def _walk(self, parts: list[bytes], *, follow: bool, make: int | None = None) -> list[tuple[bytes, _Node | None]]:
        """The steps from the root; None from where nothing is any more.

        With ``make`` folders that are missing are made, as that layer's; but not those that only a link names.
        """
        steps: list[tuple[bytes, _Node | None]] = []
        waiting = parts[::-1]
        links = of_links = 0
        while waiting:
            self._step(1)
            name = waiting.pop()
            by_link = of_links > 0
            of_links -= by_link
            if name == b"..":
                del steps[-1:]
                continue
            here = steps[-1][1] if steps else self._root
            siblings = here.children if here else None
            node = siblings.get(name) if siblings is not None else None
            if node and node.entry.kind is EntryKind.SYMLINK and (waiting or follow):
                target = node.entry.header.target
                links += 1
                if links > _MAX_LINKS:
                    raise FormatError(f"{_quote(b'/'.join(parts))}: got more than {_MAX_LINKS} links, expected no loop")
                if target.startswith(b"/"):
                    steps.clear()
                names = _parts(target)
                of_links += len(names)
                waiting += names[::-1]
                continue
            if not node and siblings is not None and make is not None and not by_link:
                self._count()
                node = siblings[name] = _Node(_IMPLIED, make)
            steps.append((name, node))
        return steps

    def _apply(self, tar: Extent, layer: int) -> None:
        with open_reader(tar) as read:
            for header in read_headers(read, tar.length):
                self._count()
                self._add(RootEntry(header, layer, tar))

    def _count(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise FormatError(f"got more than {_MAX_MEMBERS} members, expected fewer")

    def _step(self, count: int) -> None:
        self._steps += count
        if self._steps > _MAX_STEPS:
            raise FormatError(f"got names and whiteouts that take more than {_MAX_STEPS} steps, expected fewer")

    def _add(self, entry: RootEntry) -> None:
        header = entry.header
        if len(header.name) > _LONGEST_NAME:
            raise FormatError(f"{_quote(header.name)}: got a name of {len(header.name)} bytes, expected at most 4096")
        *above, name = _parts(header.name) or [b""]
        if not name:
            self._declare_root(entry)
        elif b".." in (*above, name):
            raise FormatError(f"{_quote(header.name)}: got a name with '..', expected none")
        elif any(part.startswith(_META) for part in above) or (name.startswith(_META) and name != OPAQUE):
            return
        elif any(part.startswith(WHITEOUT) for part in above):
            raise FormatError(f"{_quote(header.name)}: got a folder that is a whiteout, expected none")
        elif name.startswith(WHITEOUT):
            self._hide(above, name[len(WHITEOUT) :], entry)
        else:
            self._put(above, name, entry)

    def _declare_root(self, entry: RootEntry) -> None:
        if entry.kind is not EntryKind.DIRECTORY:
            raise FormatError(f"{_quote(entry.header.name)}: got a {entry.kind.value} for the root, expected a folder")
        self._root.entry, self._root.layer = entry, entry.layer

    def _hide(self, above: list[bytes], name: bytes, entry: RootEntry) -> None:
        steps = self._walk(above, follow=True)
        folder = steps[-1][1] if steps else self._root
        if name in (b"", b".", b".."):
            raise FormatError(f"{_quote(entry.header.name)}: got a whiteout of {_quote(name)}, expected a name")
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
        """Take from below ``top`` what is of layers under ``layer``; return whether anything of ``layer`` is left.

        A folder of theirs that this layer has put something into stays, as one that nobody declared.
        """
        order = [top]
        for node in order:
            order += (node.children or {}).values()
        self._step(len(order))
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

    def _put(self, above: list[bytes], name: bytes, entry: RootEntry) -> None:
        folder = self._folder(above, entry)
        old = folder.pop(name, None)
        if entry.kind is EntryKind.DIRECTORY and old and old.children is not None:
            old.entry, old.layer = entry, entry.layer
            folder[name] = old
        else:
            folder[name] = _Node(self._resolve_hard_link(entry) if entry.kind is EntryKind.LINK else entry, entry.layer)

    def _folder(self, above: list[bytes], entry: RootEntry) -> dict[bytes, _Node]:
        """What is in the folder that ``above`` leads to; it is made where it is missing."""
        steps = self._walk(above, follow=True, make=entry.layer)
        node = steps[-1][1] if steps else self._root
        if not node or node.children is None:
            got = f"a {node.entry.kind.value}" if node else "a link to nothing"
            raise FormatError(f"{_quote(entry.header.name)}: got {got} above it, expected a folder")
        return node.children

    def _resolve_hard_link(self, entry: RootEntry) -> RootEntry:
        target = entry.header.target
        parts = _parts(target)
        if b".." in parts:
            raise FormatError(f"{_quote(target)}: got a hard link to a name with '..', expected one in the root")
        steps = self._walk(parts, follow=False)
        node = steps[-1][1] if steps else self._root
        if not node or node.children is not None:
            got = "a folder" if node else "nothing there"
            raise FormatError(
                f"{_quote(target)}: got {got}, expected what {_quote(entry.header.name)} is a hard link to"
            )
        return node.entry


def flatten(layers: Iterable[LayerTar]) -> Rootfs:
    """The root that ``layers`` make, from the lowest up; no content is read.

    Raises `FormatError`, which names the layer, counted from 1, and `IntegrityError` where a file has changed.
    """
    rootfs = Rootfs()
    for number, layer in enumerate(layers):
        try:
            rootfs._apply(layer.tar, number)  # noqa: SLF001 - the one that fills what it gives
        except FormatError as error:
            raise FormatError(f"layer {number + 1}: {error}", hint=error.hint) from error
    return rootfs


class _Node:
    """A place in the tree; ``layer`` is the last that put something right here."""

    __slots__ = ("children", "entry", "layer")

    def __init__(self, entry: RootEntry, layer: int) -> None:
        self.entry = entry
        self.layer = layer
        self.children: dict[bytes, _Node] | None = {} if entry.kind is EntryKind.DIRECTORY else None


def _quote(name: bytes) -> str:
    return short_repr(name.decode("utf-8", "backslashreplace"))


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


_NOWHERE = Extent(b"", 0, 0, 0, 0)
_IMPLIED = RootEntry(
    TarHeader(b"", EntryKind.DIRECTORY, 0o755, 0, 0, b"", b"", 0, 0, 0, b"", (0, 0), (), sparse=False), -1, _NOWHERE
)
