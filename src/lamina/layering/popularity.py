"""The popularity contest: nixpkgs' layering until 2025.

Invariant: the same order as nixpkgs' closure-graph.py for every acyclic graph.

Definition. For a node ``x`` with children ``C(x)``: each child ``c`` gains 1, and each descendant ``s`` of ``c``
gains 1 and what it had below ``c``. A node's popularity is that sum at a virtual node above the roots. Unrolled,
``s`` has the sum, over every path ``c`` that is ``s`` or needs ``s``, of the number of ways from the virtual node
down to ``c``; that is what is computed here, for the definition takes time in the number of pairs.

Worked example: A→B,G  B→C,E  C→D,E  D→F  E→F gives A1 B2 C3 D4 E5 F9 G2, and so the order F E D C B G A: the most
popular first, ties by name, then by hash.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.layering.plans import LayerPlan
from lamina.layering.reach import Reachability, Weights, path_numbers


def popularity(closure: Closure, budget: int, ignored: Collection[StorePath]) -> tuple[LayerPlan, ...]:
    """The most popular paths in a layer each, all the rest in the last; at most ``budget`` layers.

    Ignored paths leave the graph before the contest, as nixpkgs' exclude list does.
    """
    contest = Closure.of(
        replace(info, references=info.references - frozenset(ignored)) for info in closure if info.path not in ignored
    )
    order = rank_by_popularity(contest)
    alone = [LayerPlan.of((info,), f"popularity {score}") for info, score in order[: budget - 1]]
    rest = order[budget - 1 :]
    if not rest:
        return tuple(alone)
    _, highest = rest[0]
    reason = f"popularity {highest}" if len(rest) == 1 else f"the rest, popularity {highest} and less"
    return (*alone, LayerPlan.of((info for info, _ in rest), reason))


def rank_by_popularity(closure: Closure) -> tuple[tuple[PathInfo, int], ...]:
    """Every path with its popularity, the most popular first, ties by name, then by hash."""
    scores = popularity_scores(closure)
    order = sorted(closure, key=lambda info: (-scores[info.path], _name_key(info.path)))
    return tuple((info, scores[info.path]) for info in order)


def popularity_scores(closure: Closure) -> dict[StorePath, int]:
    """The popularity of every path."""
    number = path_numbers(closure)
    ways = [0] * len(closure)
    for info in reversed(closure.bottom_up):
        referrers = closure.referrers[info.path]
        ways[number[info.path]] = sum(ways[number[user]] for user in referrers) if referrers else 1
    reach = Reachability.of(closure)
    weights = Weights(ways)
    return {path: weights.sum(reach.referrers[place] | 1 << place) for path, place in number.items()}


def _name_key(path: StorePath) -> tuple[str, str]:
    return path.name, path.hash
