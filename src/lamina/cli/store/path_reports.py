"""Describe store paths as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.core.names import STORE_DIR
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.formats.narinfo import NarInfo


def dump_narinfo(narinfo: NarInfo) -> dict[str, Any]:
    """Return the narinfo of a path as JSON, with the keys of ``nix path-info --json``, and ``url``."""
    info = narinfo.info
    return {
        "path": str(info.path),
        "narHash": info.nar_hash.sri,
        "narSize": info.nar_size,
        "references": list(map(str, sorted(info.references))),
        "deriver": f"{STORE_DIR}/{narinfo.deriver}" if narinfo.deriver else None,
        "signatures": list(narinfo.signatures),
        "ca": narinfo.address or None,
        "url": narinfo.url,
    }


def summarize_paths(paths: Iterable[NarInfo]) -> str:
    """Return the number of paths and the size of their NARs as text; identical NARs are counted once."""
    narinfos = list(paths)
    size = sum({narinfo.info.nar_hash: narinfo.info.nar_size for narinfo in narinfos}.values())
    return f"{count_paths(len(narinfos))}, {format_size(size)}"


def count_paths(number: int) -> str:
    """Return ``1 path`` or ``N paths``."""
    return f"{number} path" if number == 1 else f"{number} paths"
