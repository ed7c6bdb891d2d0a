"""Fuzz target: any bytes as a NAR.

Invariant: `nar.parse` returns nodes whose `nar.dump` is the input again, or raises `FormatError` and nothing else;
`nar.copy` copies exactly the bytes that it reads; `nar_scanner.scan` returns the entries of the same nodes or raises
`ScanError`, always for an invalid NAR; and the listing of those entries has the offset of each file's content.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.errors import FormatError
from lamina.formats import nar
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, ListingBuilder, ListingEntry
from lamina.formats.nar_scanner import ScanError, scan


def check(data: bytes) -> None:
    """Raise `AssertionError` if ``data`` violates the invariant."""
    nodes, entries = _nodes(data), _entries(data)
    if nodes is None:
        if entries is not None:
            raise AssertionError("the scanner accepted an archive that the parser refused")
        _copy(data)
        return
    written = b"".join(piece for piece in nar.dump(nodes) if isinstance(piece, bytes))
    if written != data:
        raise AssertionError("the archive differs after a round trip")
    if _copy(data) != data or _copy(data + b"more") != data:
        raise AssertionError("the copy differs from the archive")
    if entries is not None:
        _compare(data, nodes, entries)


def _nodes(data: bytes) -> Sequence[Node] | None:
    try:
        return tuple(nar.parse_bytes(data))
    except FormatError:
        return None


def _entries(data: bytes) -> Sequence[ListingEntry] | None:
    try:
        return tuple(scan(data, 0))
    except ScanError:
        return None


def _copy(data: bytes) -> bytes | None:
    out = io.BytesIO()
    try:
        size = nar.copy(io.BytesIO(data).read, out.write)
    except FormatError:
        return None
    if out.getvalue() != data[:size]:
        raise AssertionError("the copied bytes differ from those that were read")
    return out.getvalue()


def _compare(data: bytes, nodes: Sequence[Node], entries: Sequence[ListingEntry]) -> None:
    if list(map(_entry, nodes)) != list(entries):
        raise AssertionError("the scanner and the parser returned different entries")
    builder = ListingBuilder()
    for entry in entries:
        builder.add(*entry)
    for node, ((_, _, size, _, _), offset) in zip(nodes, builder.build().with_nar_offsets(), strict=True):
        if isinstance(node, Regular) and data[offset : offset + size] != node.content:
            raise AssertionError("a content is not at its offset in the listing")


def _entry(node: Node) -> ListingEntry:
    match node:
        case Regular(path, executable, size):
            return EXECUTABLE if executable else FILE, path, size, b"", 0
        case Symlink(path, target):
            return SYMLINK, path, 0, target, 0
        case Directory(path):
            return FOLDER, path, 0, b"", 0
