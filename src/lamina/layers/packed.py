"""Pack store paths as a tar: the members, their order and their headers.

The tar has the layout of nixpkgs' dockerTools: ``/nix/`` and ``/nix/store/``, then each store path and everything in
it. The entries of a listing and the nodes of a store give the same bytes, because both are packed as `Entry` values.

Invariant: the pieces of a `PackedLayer` are exactly ``size`` bytes long, and the size is known before a file is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from lamina.core.names import Digest
from lamina.core.nodes import Node, is_utf8
from lamina.errors import FormatError
from lamina.formats.listing import Entry, Listing
from lamina.formats.tar import BLOCK, WHITEOUT, Member, Owner, PaxHeaders, TypeFlag, padding, trailer_size
from lamina.system.locations import Location, iter_entries
from lamina.system.transfer import Piece

# A layer cannot contain a file with this name, because runtimes treat it as a whiteout and delete another file.
_WHITEOUT_INSIDE = b"/" + WHITEOUT
# Type and mode of a member, indexed by an entry's kind; the modes are those that Nix gives to files of the store.
_KINDS = ((TypeFlag.DIRECTORY, 0o555), (TypeFlag.SYMLINK, 0o777), (TypeFlag.FILE, 0o444), (TypeFlag.FILE, 0o555))
_MAX_HEADERS = 1 << 15
_PADDING = tuple(padding(size) for size in range(BLOCK))

NamedEntries = tuple[bytes, Iterable[Entry]]
"""The full name of a store path (``/nix/store/…``), and its entries in tar order."""
ListedEntries = tuple[bytes, Iterable[tuple[int, bytes, int, bytes, object]]]
"""The name of a store path and its entries without contents, in any order, such as the entries of a `Listing`."""


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer's tar: its size in bytes, and its pieces, which can be iterated over once."""

    size: int
    pieces: Iterator[Piece]

    @classmethod
    def with_trailer(cls, size: int, pieces: Iterable[Piece]) -> PackedLayer:
        """Return the tar whose members are ``pieces`` and take ``size`` bytes."""
        trailer = bytes(trailer_size(size))
        return cls(size + len(trailer), chain(pieces, (trailer,)))


@dataclass(frozen=True, slots=True)
class ListedPath:
    """A store path: its full ``name`` (``/nix/store/…``), its location, its listing, and its NAR hash if known."""

    name: bytes
    location: Location
    listing: Listing
    nar_hash: Digest | None = None


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
        entries = (
            (part.name, _sort_for_tar(iter_entries(part.listing, part.location), is_utf8=part.listing.is_utf8))
            for part in self.parts
        )
        return pack_entries(PaxHeaders(self.owner, self.mtime), entries, size)

    def size(self) -> int:
        """Return the size of all members in bytes, without the tar's trailer. Raises the same errors as `pack`."""
        check_names((part.name, part.listing) for part in self.parts if part.listing.contains_name(WHITEOUT))
        return measure_entries(PaxHeaders(self.owner, self.mtime), ((part.name, part.listing) for part in self.parts))


def list_entries(nodes: Iterable[Node]) -> Iterable[Entry]:
    """Return the entries of the nodes of a store path in tar order."""
    entries = tuple(map(Entry.from_node, nodes))
    return _sort_for_tar(entries, is_utf8=is_utf8(b"/".join(entry.path for entry in entries)))


def _sort_for_tar(entries: Iterable[Entry], *, is_utf8: bool) -> Iterable[Entry]:
    """Sort entries in NAR order for a store layer: by path components, compared as Python strings.

    This is how nixpkgs sorts `pathlib.Path`s. If all paths are UTF-8, the result is NAR order, so nothing has to be
    sorted. Only names that are not UTF-8 change places, because Python represents their bytes as surrogates.
    """
    return entries if is_utf8 else sorted(entries, key=lambda entry: _split_components(entry.path))


def _split_components(path: bytes) -> list[str]:
    return path.decode("utf-8", "surrogateescape").split("/")


def check_names(paths: Iterable[ListedEntries]) -> None:
    """Raise `FormatError` for a name that would be a whiteout in a layer."""
    for top, entries in paths:
        for _, path, *_ in entries:
            if _WHITEOUT_INSIDE in b"/" + path:
                raise _whiteout_error(top + b"/" + path)


def measure_entries(headers: PaxHeaders, paths: Iterable[ListedEntries]) -> int:
    """Return the size in bytes of the store directory's headers and all members, without the tar's trailer."""
    size = len(_dump_store_dir_headers(headers))
    header_size = headers.templated_size
    for top, entries in paths:
        inside = top + b"/"
        for kind, path, length, target, _ in entries:
            name = inside + path if path else top
            size += header_size(name if kind else name + b"/", length, target) + length + -length % BLOCK
    return size


def pack_entries(headers: PaxHeaders, paths: Iterable[NamedEntries], size: int) -> PackedLayer:
    """Return the tar of ``paths``, given the result of `measure_entries`."""
    return PackedLayer.with_trailer(size, _pieces(headers, paths))


def _pieces(headers: PaxHeaders, paths: Iterable[NamedEntries]) -> Iterator[Piece]:
    templates = [headers.make_template(kind, mode) for kind, mode in _KINDS]
    before = _dump_store_dir_headers(headers)
    for top, entries in paths:
        inside = top + b"/"
        for kind, path, size, target, content in entries:
            name = inside + path if path else top
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
    yield before


def _dump_store_dir_headers(headers: PaxHeaders) -> bytes:
    """Return the headers of ``/nix/`` and ``/nix/store/``, with which every store layer begins."""
    return b"".join(
        headers.make_header(Member(folder, TypeFlag.DIRECTORY, 0o755)) for folder in (b"/nix/", b"/nix/store/")
    )


def _whiteout_error(name: bytes) -> FormatError:
    return FormatError(
        name.decode("utf-8", "backslashreplace"),
        "a name that begins with .wh.",
        "another name, because in a layer this one deletes a file instead of adding one",
    )
