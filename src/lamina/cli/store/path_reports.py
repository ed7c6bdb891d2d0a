"""Describe store paths as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.formats.narinfo import NarInfo


def summarize_paths(paths: Iterable[NarInfo]) -> str:
    """Return the number of paths and the size of their NARs as text; identical NARs are counted once."""
    narinfos = list(paths)
    size = sum({narinfo.info.nar_hash: narinfo.info.nar_size for narinfo in narinfos}.values())
    return f"{count_paths(len(narinfos))}, {format_size(size)}"


def count_paths(number: int) -> str:
    """Return ``1 path`` or ``N paths``."""
    return f"{number} path" if number == 1 else f"{number} paths"
