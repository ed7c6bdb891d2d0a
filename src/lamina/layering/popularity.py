"""Layering by popularity: nixpkgs' layering until 2025.

Definition: for a node ``x``, each child ``c`` gets 1, and each descendant ``s`` of ``c`` gets 1 plus its value below
``c``. A node's popularity is its value at a virtual node above the roots. This equals the sum, over every path ``c``
that is ``s`` or depends on ``s``, of the number of ways from the virtual node down to ``c``. This module computes the
sum, because the definition itself takes time proportional to the number of pairs of paths.

Worked example: A→B,G  B→C,E  C→D,E  D→F  E→F gives A1 B2 C3 D4 E5 F9 G2, and therefore the order F E D C B G A: the
most popular first, ties by name, then by hash.

Invariant: the order is the same as that of nixpkgs' closure-graph.py for every acyclic graph.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.layering.plans import LayerPlan
from lamina.layering.reach import Reachability, Weights


def popularity(closure: Closure, budget: int, ignored: Collection[StorePath]) -> tuple[LayerPlan, ...]:
    """Plan a layer for each of the most popular paths and one for all others, at most ``budget`` layers together.

    Ignored paths are removed from the graph first, as nixpkgs removes the paths of its exclude list.
    """
    counted = Closure.of(
        replace(info, references=info.references - frozenset(ignored)) for info in closure if info.path not in ignored
    )
    order = rank_by_popularity(counted)
    alone = [LayerPlan.of((info,), _explain(score)) for info, score in order[: budget - 1]]
    rest = order[budget - 1 :]
    if not rest:
        return tuple(alone)
    _, highest = rest[0]
    reason = _explain(highest) if len(rest) == 1 else f"the rest, popularity {highest} and less"
    return (*alone, LayerPlan.of((info for info, _ in rest), reason))


def _explain(score: int) -> str:
    return f"popularity {score} (how often needed)"


def rank_by_popularity(closure: Closure) -> tuple[tuple[PathInfo, int], ...]:
    """Return every path with its popularity, the most popular first, ties by name, then by hash."""
    scores = compute_popularity(closure)
    order = sorted(closure, key=lambda info: (-scores[info.path], _name_key(info.path)))
    return tuple((info, scores[info.path]) for info in order)


def compute_popularity(closure: Closure) -> dict[StorePath, int]:
    """Compute the popularity of every path."""
    ways = [0] * len(closure)
    for number in reversed(closure.order):
        ways[number] = sum(ways[referrer] for referrer in closure.referrers[number]) or 1
    reach = Reachability.of(closure)
    weights = Weights(ways)
    return {path: weights.sum(reach.referrers[number] | 1 << number) for path, number in closure.numbers.items()}


def _name_key(path: StorePath) -> tuple[str, str]:
    return path.name, path.hash
