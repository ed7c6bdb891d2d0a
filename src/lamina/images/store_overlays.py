"""Find files of other layers that change what a container sees of store paths.

A container sees all layers as one tree. A layer that is not made of store paths can therefore add files to a store path
of another layer, replace them, or delete them with whiteouts (OCI image-spec, layer.md, "Whiteouts").
"""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.names import STORE_DIR
from lamina.formats.tar import OPAQUE, WHITEOUT
from lamina.formats.tar_reader import EntryKind, TarHeader, read_headers
from lamina.images.readers.blobs import check_member_names
from lamina.images.tar_difference import UNKNOWN_LENGTH, ForwardReader

_STORE = tuple(STORE_DIR[1:].encode().split(b"/"))
# The folders that lead to the store, and the whiteouts beside them that hide it.
_ABOVE = tuple(_STORE[:depth] for depth in range(len(_STORE) + 1))
_HIDING = {
    *((*folder, OPAQUE) for folder in _ABOVE),
    *((*folder[:-1], WHITEOUT + folder[-1]) for folder in _ABOVE[1:]),
}


def find_store_overlay(tar: Iterable[bytes]) -> str | None:
    """Return the first name in a layer's tar that adds, replaces or hides something in the store; None without one.

    Names that lead to the store through a link are not recognised. Raises `FormatError` if the tar cannot be read.
    """
    for header in read_headers(ForwardReader(tar), UNKNOWN_LENGTH):
        check_member_names(header)
        if _changes_store(header):
            return header.name.decode("utf-8", "backslashreplace")
    return None


def _changes_store(header: TarHeader) -> bool:
    parts = tuple(part for part in header.name.split(b"/") if part not in (b"", b"."))
    is_inside = len(parts) > len(_STORE) and parts[: len(_STORE)] == _STORE
    is_replaced = parts in _ABOVE[1:] and header.kind is not EntryKind.DIRECTORY
    return is_inside or is_replaced or parts in _HIDING
