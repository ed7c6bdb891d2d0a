"""The three states of a layer: planned, packed, named.

Invariant: a `Packed` layer is exactly as long as it says, and it says so before a file is opened.

    LayerPlan            LayerSource            Layer
    which paths     →    + nodes: can be     →  + digest: a named blob
                         packed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lamina.engine import Piece
from lamina.errors import FormatError
from lamina.formats.docker import store_paths_comment
from lamina.formats.tar import WHITEOUT, Kind, Member, Owner, PaxHeaders, padded, padding, trailer_size
from lamina.layering.plans import LayerPlan
from lamina.names import STORE_DIR, Digest, StorePath
from lamina.nodes import Content, Directory, Extent, Node, Regular, Symlink

# No layer can hold such a file.
_WHITEOUT = b"/" + WHITEOUT

Nodes = Callable[[StorePath], Iterable[Node]]


@dataclass(frozen=True, slots=True)
class Packed:
    """A layer's tar: its length in bytes, and its pieces, which can be taken once."""

    size: int
    pieces: Iterator[Piece]


class LayerSource(Protocol):
    """A layer that can be packed, any number of times, to the same bytes."""

    @property
    def comment(self) -> str:
        """What the image's history says of the layer."""

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in it, in packing order."""

    @property
    def promised(self) -> Digest | None:
        """The diff ID that it must turn out to have, None where nobody said one."""

    def headline(self, number: int) -> str:
        """What is said when it is written as layer ``number``, counted from 1."""

    def pack(self) -> Packed:
        """The layer as it is now."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose bytes are known: SHA-256 and length of the uncompressed tar, and the store paths in it."""

    diff_id: Digest
    size: int
    paths: tuple[StorePath, ...]


@dataclass(frozen=True, slots=True)
class StoreLayer:
    """Store paths as nixpkgs' streamer packs them; ``mtime`` in whole seconds since 1970."""

    plan: LayerPlan
    nodes: Nodes
    owner: Owner
    mtime: int

    @property
    def comment(self) -> str:
        """What the image's history says of the layer."""
        return store_paths_comment(list(map(str, self.paths)))

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The store paths in it, in packing order."""
        return self.plan.paths

    @property
    def promised(self) -> Digest | None:
        """None: it is what the store has."""
        return None

    def headline(self, number: int) -> str:
        """What is said when it is written as layer ``number``."""
        return f"Creating layer {number} from paths: {list(map(str, self.paths))}"

    def pack(self) -> Packed:
        """Walks the paths and says what their tar will be.

        Raises what the store raises, and `FormatError` for a name that means something else in a layer.
        """
        headers = PaxHeaders(self.owner, self.mtime)
        members = list(self._members())
        size = sum(headers.header_size(member) + padded(member.size) for member, _ in members)
        end = bytes(trailer_size(size))
        return Packed(size + len(end), _pieces(headers, members, end))

    def _members(self) -> Iterator[tuple[Member, Content]]:
        for folder in (b"/nix/", b"/nix/store/"):
            yield Member(folder, Kind.DIRECTORY, 0o755), b""
        for path in self.paths:
            top = f"{STORE_DIR}/{path.base}".encode()
            for node in tar_order(self.nodes(path)):
                name = top + b"/" + node.path if node.path else top
                if _WHITEOUT in name:
                    raise FormatError(
                        f"{name.decode('utf-8', 'backslashreplace')}: got a name that begins with .wh., "
                        "expected none: in a layer it would delete a file instead of adding one"
                    )
                yield _member(name, node)


@dataclass(frozen=True, slots=True)
class FinishedLayer:
    """A layer whose tar lies finished in a file: a base image's, or a customisation layer that was made before.

    ``said`` is its headline, for its place among the layers is known; ``keep`` is whatever must live as long as the
    file.
    """

    tar: Extent
    said: str
    comment: str
    promised: Digest | None = None
    paths: tuple[StorePath, ...] = ()
    keep: object = None

    def headline(self, number: int) -> str:
        """What is said when it is written as layer ``number``."""
        return self.said

    def pack(self) -> Packed:
        """The tar as it lies there."""
        return Packed(self.tar.length, iter((self.tar,)))


def tar_order(nodes: Iterable[Node]) -> Sequence[Node]:
    """Nodes as a store layer holds them: by path components, compared as Python compares texts.

    That is NAR order but where a name is not UTF-8, whose bytes stand as surrogates (nixpkgs sorts `pathlib.Path`s).
    """
    walked = nodes if isinstance(nodes, Sequence) else tuple(nodes)
    if all(_is_utf8(node.path) for node in walked):
        return walked
    return sorted(walked, key=lambda node: node.path.decode("utf-8", "surrogateescape").split("/"))


def _is_utf8(path: bytes) -> bool:
    if path.isascii():
        return True
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _member(name: bytes, node: Node) -> tuple[Member, Content]:
    match node:
        case Regular():
            return Member(name, Kind.FILE, 0o555 if node.executable else 0o444, node.size), node.content
        case Symlink():
            return Member(name, Kind.SYMLINK, 0o777, target=node.target), b""
        case Directory():
            return Member(name + b"/", Kind.DIRECTORY, 0o555), b""


def _pieces(headers: PaxHeaders, members: list[tuple[Member, Content]], end: bytes) -> Iterator[Piece]:
    for member, content in members:
        yield headers.header(member)
        if member.size:
            yield content
            yield padding(member.size)
    yield end
