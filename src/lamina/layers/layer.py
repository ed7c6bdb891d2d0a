"""The three states of a layer: planned, packed, named.

Invariant: a source packs to the same bytes, and so to the same layer, any number of times.

    LayerPlan            LayerSource            Layer
    which paths     →    + nodes: can be     →  + digest: a named blob
                         packed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lamina.core.names import STORE_DIR, Digest, StorePath
from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink
from lamina.formats.docker import store_paths_comment
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK
from lamina.formats.tar import Owner, PaxHeaders, padded_size
from lamina.layer_cache.key import LayerInputs
from lamina.layering.plans import LayerPlan
from lamina.layers.packed import (
    WHITEOUT_INSIDE,
    PackedLayer,
    PackedMember,
    components,
    pack_members,
    store_dir_headers,
    whiteout_error,
)
from lamina.system.locations import Location

ReadNodes = Callable[[StorePath], Iterable[Node]]
Locate = Callable[[StorePath], Location | None]
"""Where a store path lies on this machine; None where it does not."""


class LayerSource(Protocol):
    """A layer that can be packed, any number of times, to the same bytes."""

    @property
    def comment(self) -> str:
        """What the image's history says of the layer."""

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in it, in packing order."""

    @property
    def expected_diff_id(self) -> Digest | None:
        """The diff ID that it must turn out to have, None where nobody said one."""

    def headline(self, number: int) -> str:
        """What is said when it is written as layer ``number``, counted from 1."""

    def pack(self) -> PackedLayer:
        """The layer as it is now."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose bytes are known: SHA-256 and length of the uncompressed tar, and the store paths in it."""

    diff_id: Digest
    size: int
    paths: tuple[StorePath, ...]


@dataclass(frozen=True, slots=True)
class StoreLayer:
    """Store paths as nixpkgs' streamer packs them; ``mtime`` in whole seconds since 1970.

    ``nodes`` is what they are made of, and ``location``, where that can be said, where they lie; ``is_path_local`` is
    whether it can be said without waiting.
    """

    plan: LayerPlan
    nodes: ReadNodes
    owner: Owner
    mtime: int
    location: Locate | None = None
    is_path_local: Callable[[StorePath], bool] = lambda _: True

    @property
    def comment(self) -> str:
        """What the image's history says of the layer."""
        return store_paths_comment(list(map(str, self.paths)))

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in it, in packing order."""
        return self.plan.paths

    @property
    def expected_diff_id(self) -> Digest | None:
        """None: it is what the store has."""
        return None

    @property
    def inputs(self) -> LayerInputs | None:
        """What the layer is made from, None where no store has said a hash of its paths."""
        if not self.plan.nars:
            return None
        contents = ((path, *nar) for path, nar in zip(self.paths, self.plan.nars, strict=True))
        return LayerInputs(self.owner, self.mtime, tuple(contents))

    @property
    def is_local(self) -> bool:
        """Whether nobody would wait for any of its paths."""
        return all(map(self.is_path_local, self.paths))

    def headline(self, number: int) -> str:
        """What is said when it is written as layer ``number``."""
        return f"Creating layer {number} from paths: {list(map(str, self.paths))}"

    def pack(self) -> PackedLayer:
        """Walks the paths and says what their tar will be.

        Raises what the store raises, and `FormatError` for a name that means something else in a layer.
        """
        headers = PaxHeaders(self.owner, self.mtime)
        members = list(self._members())
        size = len(store_dir_headers(headers))
        for kind, name, length, target, _ in members:
            size += headers.templated_size(name if kind else name + b"/", length, target) + padded_size(length)
        return pack_members(headers, members, size)

    def _members(self) -> Iterator[PackedMember]:
        for path in self.paths:
            top = f"{STORE_DIR}/{path.base}".encode()
            for node in sort_for_tar(self.nodes(path)):
                name = top + b"/" + node.path if node.path else top
                if WHITEOUT_INSIDE in name:
                    raise whiteout_error(name)
                yield _member(name, node)


@dataclass(frozen=True, slots=True)
class FinishedLayer:
    """A layer whose tar lies finished in a file: a base image's, or a customisation layer that was made before.

    ``message`` is its headline, for its place among the layers is known; ``keep_alive`` is whatever must live as long
    as the file.
    """

    tar: Extent
    message: str
    comment: str
    expected_diff_id: Digest | None = None
    paths: tuple[StorePath, ...] = ()
    keep_alive: object = None

    def headline(self, number: int) -> str:
        """What is said when it is written as layer ``number``."""
        return self.message

    def pack(self) -> PackedLayer:
        """The tar as it lies there."""
        return PackedLayer(self.tar.length, iter((self.tar,)))


def sort_for_tar(nodes: Iterable[Node]) -> Sequence[Node]:
    """Nodes as a store layer holds them: by path components, compared as Python compares texts.

    That is NAR order but where a name is not UTF-8, whose bytes stand as surrogates (nixpkgs sorts `pathlib.Path`s).
    """
    walked = nodes if isinstance(nodes, Sequence) else tuple(nodes)
    if all(_is_utf8(node.path) for node in walked):
        return walked
    return sorted(walked, key=lambda node: components(node.path))


def _is_utf8(path: bytes) -> bool:
    if path.isascii():
        return True
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _member(name: bytes, node: Node) -> PackedMember:
    match node:
        case Regular():
            return EXECUTABLE if node.executable else FILE, name, node.size, b"", node.content
        case Symlink():
            return SYMLINK, name, 0, node.target, b""
        case Directory():
            return FOLDER, name, 0, b"", b""
