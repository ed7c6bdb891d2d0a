"""The listing of a NAR as a binary cache has it beside the narinfo, in ``HASH.ls``.

Invariant: it says of every entry where its content is in the NAR, and all names in it are the ones that are there; a
name that JSON cannot hold makes that there is no listing.

    {"version":1,"root":{"type":"directory","entries":{"a":{"type":"regular","size":2,"narOffset":272}}}}

Written piece by piece, for a tree may be deeper than anything that calls itself. (Nix source, libstore:
binary-cache-store, write-nar-listing; libutil, nar-accessor.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from lamina.formats.listing import EXECUTABLE, FOLDER, SYMLINK, Listing, ListingEntry


def dump(listing: Listing) -> bytes | None:
    """The document of ``listing``, None where a name or target in it is not UTF-8."""
    try:
        return "".join(_parts(listing)).encode()
    except UnicodeDecodeError:
        return None


def _parts(listing: Listing) -> Iterator[str]:
    yield '{"version":1,"root":'
    depth = 0  # how many folders are open
    is_first = True  # in the folder that was opened last
    for entry, offset in listing.with_nar_offsets():
        kind, path = entry[:2]
        level = path.count(b"/") + 1 if path else 0
        if depth > level:
            yield "}}" * (depth - level)
            is_first = False
        depth = level
        if path:
            yield f"{'' if is_first else ','}{_text(path[path.rfind(b'/') + 1 :])}:"
        is_first = kind == FOLDER
        depth += is_first
        yield _node(entry, offset)
    yield "}}" * depth + "}"


def _node(entry: ListingEntry, offset: int) -> str:
    kind, _, size, _, target = entry
    if kind == FOLDER:
        return '{"type":"directory","entries":{'
    if kind == SYMLINK:
        return f'{{"type":"symlink","target":{_text(target)}}}'
    executable = '"executable":true,' if kind == EXECUTABLE else ""
    return f'{{"type":"regular","size":{size},{executable}"narOffset":{offset}}}'


def _text(name: bytes) -> str:
    return json.dumps(name.decode(), ensure_ascii=False)
