"""The tar of the customisation layer.

Invariant: the bytes are those of ``tar --format=gnu --sort=name --numeric-owner --mtime=@315532800
--hard-dereference -c .`` in a folder that contains the same tree (nixpkgs: dockerTools' customisation layer). The only
exception is an entry with extended attributes, which nixpkgs loses: here it has a PAX header.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lamina.core.labels import CUSTOMISATION_LAYER
from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.formats.tar import BLOCK, GnuHeaders, Member, Owner, PaxHeaders, TypeFlag, padded_size, padding
from lamina.layers.layer import LayerSource
from lamina.layers.packed import PackedLayer
from lamina.rootfs.tree import Meta, Tree
from lamina.system.tempdir import TempDir
from lamina.system.transfer import Piece

# 1980-01-01, the date that Nix's builders give to files. The options for an image's dates do not affect this layer.
MTIME = 315532800
_HEADERS = GnuHeaders(MTIME)
_Entry = tuple[Node, Member, Meta]


@dataclass(frozen=True, slots=True)
class RootLayer(LayerSource):
    """The root file system as the last layer of an image: the customisation layer.

    Attributes:
        tree: the root; an empty one by default.
        workspace: the temporary folder that holds the tree's files; None if they are elsewhere.
    """

    tree: Tree = field(default_factory=Tree)
    workspace: TempDir | None = None

    @property
    def name(self) -> str:
        """The name of the layer for people."""
        return self.comment

    @property
    def comment(self) -> str:
        """The comment for this layer in the image's history."""
        return CUSTOMISATION_LAYER

    @property
    def weight(self) -> int:
        """The approximate size in bytes: that of each file, and of the header of each entry."""
        return sum(BLOCK + (node.size if isinstance(node, Regular) else 0) for node, _ in self.tree)

    def headline(self, number: int) -> str:
        """Return the progress message for writing this as layer ``number``."""
        return f"Creating layer {number} with customisation..."

    def close(self) -> None:
        """Remove the temporary folder."""
        if self.workspace:
            self.workspace.close()

    def pack(self) -> PackedLayer:
        """Return the layer's tar: its exact size, and its bytes as pieces that are read on demand."""
        entries = [(node, _member(node, meta), meta) for node, meta in self.tree]
        size = sum(_header_size(member, meta) + padded_size(member.size) for _, member, meta in entries)
        return PackedLayer.with_trailer(size, _pieces(entries))


def _member(node: Node, meta: Meta) -> Member:
    name = b"./" + node.path
    match node:
        case Directory():
            return Member(name + b"/" if node.path else name, TypeFlag.DIRECTORY, meta.mode)
        case Symlink():
            return Member(name, TypeFlag.SYMLINK, meta.mode, target=node.target)
        case Regular():
            return Member(name, TypeFlag.FILE, meta.mode, node.size)


def _header(member: Member, meta: Meta) -> bytes:
    """Return a GNU header, or a PAX header if there are extended attributes, which a GNU header cannot contain."""
    owner = Owner(meta.uid, meta.gid)
    if meta.xattrs:
        return PaxHeaders(owner, MTIME, meta.xattrs).make_header(member)
    return _HEADERS.make_header(member, owner)


def _header_size(member: Member, meta: Meta) -> int:
    return len(_header(member, meta)) if meta.xattrs else _HEADERS.header_size(member)


def _pieces(entries: list[_Entry]) -> Iterator[Piece]:
    for node, member, meta in entries:
        yield _header(member, meta)
        if isinstance(node, Regular) and node.size:
            yield node.content
            yield padding(node.size)
