"""Any bytes as a closure graph in JSON.

Invariant: `graph.parse` gives infos that it gives again for their own JSON, each path once, or raises `FormatError` and
nothing else; the closure of them is one, or `PlanError` or `NotFound` says why not. Time is bounded by how long the
bytes are: the runner ends what takes seconds.
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
    """Raises where ``data`` shows that the invariant does not hold."""
    try:
        infos = closure_graph.parse(data)
    except FormatError:
        return
    if len({info.path for info in infos}) != len(infos):
        raise AssertionError("a path came twice")
    if closure_graph.parse(_dump(infos)) != infos:
        raise AssertionError("other infos came out than went in")
    with contextlib.suppress(NotFound, PlanError):
        Closure.of(infos)


def _dump(infos: Iterable[PathInfo]) -> bytes:
    """As ``nix path-info --json`` of Nix 2.8 has it."""
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
