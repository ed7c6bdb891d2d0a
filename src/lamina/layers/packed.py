"""The tar of store paths: what is packed, in which order, under which headers.

Invariant: a `PackedLayer` layer is exactly as long as it says, and it says so before a file is opened.

It is what nixpkgs' streamer makes: ``/nix/`` and ``/nix/store/``, then each path and all below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lamina.core.nodes import Content
from lamina.errors import FormatError
from lamina.formats.listing import Listing
from lamina.formats.tar import BLOCK, WHITEOUT, Member, Owner, PaxHeaders, TypeFlag, padding, trailer_size
from lamina.system import locations
from lamina.system.locations import LocatedEntry, Location
from lamina.system.transfer import Piece

# No layer can hold such a file.
WHITEOUT_INSIDE = b"/" + WHITEOUT
# By kind, as a listing counts them: what a member is, and its mode (nixpkgs: the store's files as Nix leaves them).
_KINDS = ((TypeFlag.DIRECTORY, 0o555), (TypeFlag.SYMLINK, 0o777), (TypeFlag.FILE, 0o444), (TypeFlag.FILE, 0o555))
_MAX_HEADERS = 1 << 15
_PADDING = tuple(padding(size) for size in range(BLOCK))

PackedMember = tuple[int, bytes, int, bytes, Content]
"""Type flag, name, size, target and content."""


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer's tar: its length in bytes, and its pieces, which can be taken once."""

    size: int
    pieces: Iterator[Piece]


@dataclass(frozen=True, slots=True)
class ListedPath:
    """A store path of that ``name`` that lies at ``location``, and what is in it."""

    name: bytes
    location: Location
    listing: Listing


@dataclass(frozen=True, slots=True)
class ListedLayer:
    """Store paths of which all is known but the bytes; ``mtime`` in whole seconds since 1970."""

    parts: tuple[ListedPath, ...]
    owner: Owner
    mtime: int

    @property
    def memory_size(self) -> int:
        """How much memory it takes, in bytes."""
        return sum(part.listing.memory_size for part in self.parts)

    def pack(self) -> PackedLayer:
        """The tar. Raises `FormatError` for a name that means something else in a layer."""
        return self.pack_with_size(self.size())

    def pack_with_size(self, size: int) -> PackedLayer:
        """The tar, where its `size` was found out before."""
        return pack_members(PaxHeaders(self.owner, self.mtime), self._members(), size)

    def size(self) -> int:
        """How many bytes its members take. Raises as `pack` does."""
        headers = PaxHeaders(self.owner, self.mtime)
        size = len(store_dir_headers(headers))
        for part in self.parts:
            _check_names(part)
            name = part.name
            inside = name + b"/"
            for kind, path, length, _, target in part.listing:
                full = inside + path if path else name
                full = full if kind else full + b"/"
                size += headers.templated_size(full, length, target) + length + -length % BLOCK
        return size

    def _members(self) -> Iterator[PackedMember]:
        for part in self.parts:
            name = part.name
            inside = name + b"/"
            for kind, path, size, target, content in _in_tar_order(part):
                yield kind, inside + path if path else name, size, target, content


def _in_tar_order(part: ListedPath) -> Iterable[LocatedEntry]:
    entries = locations.entries(part.listing, part.location)
    return entries if part.listing.is_utf8 else sorted(entries, key=lambda entry: components(entry[1]))


def components(path: bytes) -> list[str]:
    """What a layer's members are sorted by, as Python sorts paths: bytes that are not UTF-8 stand as surrogates."""
    return path.decode("utf-8", "surrogateescape").split("/")


def _check_names(part: ListedPath) -> None:
    if part.listing.contains_name(WHITEOUT):
        for _, path, *_ in part.listing:
            name = part.name + b"/" + path
            if WHITEOUT_INSIDE in name:
                raise whiteout_error(name)


def whiteout_error(name: bytes) -> FormatError:
    """The error for a member of that name."""
    return FormatError(
        f"{name.decode('utf-8', 'backslashreplace')}: got a name that begins with .wh., "
        "expected none: in a layer it would delete a file instead of adding one"
    )


def store_dir_headers(headers: PaxHeaders) -> bytes:
    """The folders that every store path lies in."""
    return b"".join(headers.header(Member(folder, TypeFlag.DIRECTORY, 0o755)) for folder in (b"/nix/", b"/nix/store/"))


def pack_members(headers: PaxHeaders, members: Iterable[PackedMember], size: int) -> PackedLayer:
    """The tar of ``members``, which with the folders they lie in take ``size`` bytes."""
    end = bytes(trailer_size(size))
    return PackedLayer(size + len(end), _pieces(headers, members, end))


def _pieces(headers: PaxHeaders, members: Iterable[PackedMember], end: bytes) -> Iterator[Piece]:
    templates = [headers.header_template(kind, mode) for kind, mode in _KINDS]
    before = store_dir_headers(headers)
    for kind, name, size, target, content in members:
        header = templates[kind](name if kind else name + b"/", size, target)
        if size:
            yield before + header
            yield content
            before = _PADDING[size % BLOCK]
        else:
            before += header
            if len(before) >= _MAX_HEADERS:
                yield before
                before = b""
    yield before + end
