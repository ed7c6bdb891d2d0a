"""Fuzz target: any bytes as a closure graph in JSON.

Invariant: `closure_graph.parse` returns each path once, and the same infos for their own JSON, or raises `FormatError`
and nothing else. `Closure.of` returns their closure, or raises `PlanError` or `NotFound`. Time is bounded by the length
of the input: the runner ends an input that takes seconds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, NotFound, PlanError
from lamina.formats import closure_graph


def check(data: bytes) -> None:
    """Raise `AssertionError` if ``data`` violates the invariant."""
    try:
        infos = closure_graph.parse(data)
    except FormatError:
        return
    if len({info.path for info in infos}) != len(infos):
        raise AssertionError("a path occurs twice")
    if closure_graph.parse(_dump(infos)) != infos:
        raise AssertionError("the infos differ after a round trip")
    with contextlib.suppress(NotFound, PlanError):
        Closure.of(infos)


def _dump(infos: Iterable[PathInfo]) -> bytes:
    """Return the JSON that ``nix path-info --json`` of Nix 2.8 prints."""
    items = [
        {
            "path": str(info.path),
            "narHash": str(info.nar_hash),
            "narSize": info.nar_size,
            "references": sorted(map(str, info.references)),
        }
        for info in infos
    ]
    return json.dumps(items).encode()
