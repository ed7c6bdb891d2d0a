"""A store path as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.cli.reporting import readable_size
from lamina.core.names import STORE_DIR

if TYPE_CHECKING:
    from lamina.formats.narinfo import NarInfo


def document(known: NarInfo) -> dict[str, Any]:
    """What is known of a path, named as ``nix path-info --json`` names it."""
    info = known.info
    return {
        "path": str(info.path),
        "narHash": info.nar_hash.sri,
        "narSize": info.nar_size,
        "references": list(map(str, sorted(info.references))),
        "deriver": f"{STORE_DIR}/{known.deriver}" if known.deriver else None,
        "signatures": list(known.signatures),
        "ca": known.address or None,
        "url": known.url,
    }


def total(paths: Iterable[NarInfo]) -> str:
    """How many paths, and how many bytes their NARs have, each counted once."""
    found = list(paths)
    size = sum({known.info.nar_hash: known.info.nar_size for known in found}.values())
    return f"{counted(len(found))}, {readable_size(size)}"


def counted(number: int) -> str:
    """So many paths."""
    return f"{number} path" if number == 1 else f"{number} paths"
