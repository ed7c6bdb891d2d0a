"""The JSON listing of a NAR that a binary cache serves next to the narinfo, as ``HASH.ls``.

The document contains every entry under its exact name, with the offset of its content in the NAR. A tree with a name
that JSON cannot represent has no listing.

    {"version":1,"root":{"type":"directory","entries":{"a":{"type":"regular","size":2,"narOffset":272}}}}

The text is written by a loop, because a tree may be nested more deeply than Python allows recursion. (Nix source,
libstore: binary-cache-store, write-nar-listing; libutil: nar-accessor.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from lamina.formats.listing import EXECUTABLE, FOLDER, SYMLINK, Listing, ListingEntry


def dump(listing: Listing) -> bytes | None:
    """Return the JSON document of ``listing``, or None if a name or target in it is not UTF-8."""
    try:
        return "".join(_dump_parts(listing)).encode()
    except UnicodeDecodeError:
        return None


def _dump_parts(listing: Listing) -> Iterator[str]:
    yield '{"version":1,"root":'
    depth = 0  # the number of open folders
    is_first = True  # whether the next entry is the first of its folder
    for entry, offset in listing.with_nar_offsets():
        kind, path = entry[:2]
        level = path.count(b"/") + 1 if path else 0
        if depth > level:
            yield "}}" * (depth - level)
            is_first = False
        depth = level
        if path:
            yield f"{'' if is_first else ','}{_dump_text(path[path.rfind(b'/') + 1 :])}:"
        is_first = kind == FOLDER
        depth += is_first
        yield _dump_node(entry, offset)
    yield "}}" * depth + "}"


def _dump_node(entry: ListingEntry, offset: int) -> str:
    kind, _, size, target, _ = entry
    if kind == FOLDER:
        return '{"type":"directory","entries":{'
    if kind == SYMLINK:
        return f'{{"type":"symlink","target":{_dump_text(target)}}}'
    executable = '"executable":true,' if kind == EXECUTABLE else ""
    return f'{{"type":"regular","size":{size},{executable}"narOffset":{offset}}}'


def _dump_text(name: bytes) -> str:
    return json.dumps(name.decode(), ensure_ascii=False)
