"""A store path as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.cli.reporting import readable_size
from lamina.core.names import STORE_DIR

if TYPE_CHECKING:
    from lamina.formats.narinfo import NarInfo


def path_document(narinfo: NarInfo) -> dict[str, Any]:
    """What is known of a path, named as ``nix path-info --json`` names it."""
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
    """How many paths, and how many bytes their NARs have, each counted once."""
    found = list(paths)
    size = sum({narinfo.info.nar_hash: narinfo.info.nar_size for narinfo in found}.values())
    return f"{count_paths(len(found))}, {readable_size(size)}"


def count_paths(number: int) -> str:
    """So many paths."""
    return f"{number} path" if number == 1 else f"{number} paths"
