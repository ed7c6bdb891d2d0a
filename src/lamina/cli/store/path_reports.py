"""Describe store paths as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lamina.cli.reporting import format_count
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.formats.narinfo import NarInfo


def summarize_paths(paths: Iterable[NarInfo]) -> str:
    """Return the number of paths and the size of their NARs as text; identical NARs are counted once."""
    narinfos = list(paths)
    size = sum({narinfo.info.nar_hash: narinfo.info.nar_size for narinfo in narinfos}.values())
    return f"{format_count(len(narinfos), 'path')}, {format_size(size)}"
