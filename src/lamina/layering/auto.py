"""Layering by size and shared dependencies: nixpkgs' default since 2025 (auto-layer.py).

Definition: paths become *primaries* one after the other, the largest first. Each path has a set: the primaries that
reach it without passing through another primary. Paths with equal sets share a layer. No further primary is added once
it would result in more sets than the budget. Layers are sorted by closure size, ascending: the sum of the NAR sizes of
the layer's paths and of all their dependencies.

Invariant: the layers are the same as nixpkgs' for every acyclic graph. Where nixpkgs' order depends on a hash seed,
layers are ordered by the sorted lists of their paths.

Worked example: base→{A(100),B(80)}  A→{C(50),D(10)}  B→{C,E(10)}  C→F(5), base ignored, gives, for a budget of 4:
[C F] [B E] [A D].
"""

from __future__ import annotations

from collections.abc import Collection

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.layering.plans import LayerPlan
from lamina.layering.reach import Reachability, Weights, iter_bits

Groups = dict[int, int]
"""Maps each set of primaries to the paths that have this set; both are bit masks."""

_ALL_ALONE = "a layer for every path"


def auto(closure: Closure, budget: int, ignored: Collection[StorePath]) -> tuple[LayerPlan, ...]:
    """Plan at most ``budget`` layers by size.

    As in nixpkgs, ignored paths count towards the sizes and the budget, and are removed at the end.
    """
    if not len(closure):
        return ()
    reach = Reachability.of(closure)
    groups = _split(closure, budget, reach)
    ignored_mask = sum(1 << number for path, number in closure.numbers.items() if path in ignored)
    weights = Weights([info.nar_size for info in closure])
    layers = []
    for primaries, paths in groups.items():
        size = weights.sum(_with_dependencies(paths, reach))
        infos = sorted(
            (closure.infos[number] for number in iter_bits(paths & ~ignored_mask)),
            key=lambda info: (info.path.name, info.path.hash),
        )
        if infos:
            reason = _explain(closure, primaries, len(infos)) if len(groups) < len(closure) else _ALL_ALONE
            layers.append((size, sorted(info.path for info in infos), LayerPlan.of(infos, reason)))
    return tuple(layer for _, _, layer in sorted(layers, key=lambda item: item[:2]))


def _explain(closure: Closure, primaries: int, path_count: int) -> str:
    """Return a text that says why ``path_count`` paths, which ``primaries`` need, share a layer."""
    if not primaries:
        return "needed by no large path"
    needing = sorted((closure.infos[number] for number in iter_bits(primaries)), key=lambda info: -info.nar_size)
    if len(needing) == 1:
        return "large path" if path_count == 1 else "large path and what it needs"
    first, second, *others = (info.path.package for info in needing)
    return f"needed by {first} and {f'{len(others) + 1} more' if others else second}"


def _split(closure: Closure, budget: int, reach: Reachability) -> Groups:
    """Group the paths by their set of primaries, in as many groups as ``budget`` allows."""
    if budget >= len(closure):
        return {1 << number: 1 << number for number in range(len(closure))}
    order = sorted(range(len(closure)), key=lambda number: (closure.infos[number].nar_size, number))
    groups: Groups = {0: (1 << len(closure)) - 1}
    for number in reversed(order):
        finer = _with_primary(groups, number, reach)
        if len(finer) > budget:
            break
        groups = finer
    return groups


def _with_primary(groups: Groups, number: int, reach: Reachability) -> Groups:
    """Return the groups that result when path ``number`` becomes a primary too."""
    primary, below, above = 1 << number, reach.dependencies[number], reach.referrers[number]
    finer: Groups = {}
    for primaries, paths in groups.items():
        stay, reached = paths & ~below & ~primary, paths & below
        if stay:
            finer[primaries] = finer.get(primaries, 0) | stay
        if reached:
            nearer = primaries & ~above
            if not nearer & below:
                nearer |= primary
            finer[nearer] = finer.get(nearer, 0) | reached
    finer[primary] = finer.get(primary, 0) | primary
    return finer


def _with_dependencies(paths: int, reach: Reachability) -> int:
    result = paths
    for number in iter_bits(paths):
        result |= reach.dependencies[number]
    return result
