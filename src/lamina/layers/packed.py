"""Pack store paths as a tar: the members, their order and their headers.

Invariant: the pieces of a `PackedLayer` are exactly ``size`` bytes long, and the size is known before a file is opened.

The tar has the layout of nixpkgs' dockerTools: ``/nix/`` and ``/nix/store/``, then each store path and all below it.
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

# A layer cannot contain a file of this name: runtimes take it for a whiteout and delete another file.
WHITEOUT_INSIDE = b"/" + WHITEOUT
# Type and mode of a member, indexed by a listing's kind; the modes are those that Nix gives to files of the store.
_KINDS = ((TypeFlag.DIRECTORY, 0o555), (TypeFlag.SYMLINK, 0o777), (TypeFlag.FILE, 0o444), (TypeFlag.FILE, 0o555))
_MAX_HEADERS = 1 << 15
_PADDING = tuple(padding(size) for size in range(BLOCK))

PackedMember = tuple[int, bytes, int, bytes, Content]
"""A member of the tar: kind as in a listing, name, size in bytes, target of a symlink, and content."""


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer's tar: its size in bytes, and its pieces, which can be consumed once."""

    size: int
    pieces: Iterator[Piece]


@dataclass(frozen=True, slots=True)
class ListedPath:
    """A store path with its full ``name`` (``/nix/store/…``), its location on this machine, and its listing."""

    name: bytes
    location: Location
    listing: Listing


@dataclass(frozen=True, slots=True)
class ListedLayer:
    """Store paths whose files are listed but not yet read; ``mtime`` is in whole seconds since 1970."""

    parts: tuple[ListedPath, ...]
    owner: Owner
    mtime: int

    @property
    def memory_size(self) -> int:
        """The memory that the listings take, in bytes."""
        return sum(part.listing.memory_size for part in self.parts)

    def pack(self) -> PackedLayer:
        """Return the tar. Raises `FormatError` for a name that would be a whiteout in a layer."""
        return self.pack_with_size(self.size())

    def pack_with_size(self, size: int) -> PackedLayer:
        """Return the tar, given the result of `size`, so that it is not computed twice."""
        return pack_members(PaxHeaders(self.owner, self.mtime), self._members(), size)

    def size(self) -> int:
        """Return the size of all members in bytes, without the tar's trailer. Raises the same errors as `pack`."""
        headers = PaxHeaders(self.owner, self.mtime)
        size = len(dump_store_dir_headers(headers))
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
    entries = locations.iter_entries(part.listing, part.location)
    return entries if part.listing.is_utf8 else sorted(entries, key=lambda entry: split_components(entry[1]))


def split_components(path: bytes) -> list[str]:
    """Return the sort key of a member: its path components as Python strings, with surrogates for non-UTF-8 bytes."""
    return path.decode("utf-8", "surrogateescape").split("/")


def _check_names(part: ListedPath) -> None:
    if part.listing.contains_name(WHITEOUT):
        for _, path, *_ in part.listing:
            name = part.name + b"/" + path
            if WHITEOUT_INSIDE in name:
                raise whiteout_error(name)


def whiteout_error(name: bytes) -> FormatError:
    """Return the error for a member of that name."""
    return FormatError(
        f"{name.decode('utf-8', 'backslashreplace')}: got a name that begins with .wh., "
        "expected none: in a layer it would delete a file instead of adding one"
    )


def dump_store_dir_headers(headers: PaxHeaders) -> bytes:
    """Return the headers of ``/nix/`` and ``/nix/store/``, with which every store layer begins."""
    return b"".join(
        headers.make_header(Member(folder, TypeFlag.DIRECTORY, 0o755)) for folder in (b"/nix/", b"/nix/store/")
    )


def pack_members(headers: PaxHeaders, members: Iterable[PackedMember], size: int) -> PackedLayer:
    """Return the tar of ``members``, which take ``size`` bytes together with the store directory's headers."""
    end = bytes(trailer_size(size))
    return PackedLayer(size + len(end), _pieces(headers, members, end))


def _pieces(headers: PaxHeaders, members: Iterable[PackedMember], end: bytes) -> Iterator[Piece]:
    templates = [headers.make_template(kind, mode) for kind, mode in _KINDS]
    before = dump_store_dir_headers(headers)
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
