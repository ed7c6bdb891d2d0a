"""Work out what a change of a store path re-sends.

A store path changes whenever one of the paths that it refers to does, because its own hash covers theirs (Nix manual,
"Store derivation", input-addressed outputs). A layer is sent again when one of its paths changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamina.core.closure import Closure


@dataclass(frozen=True, slots=True)
class ChangeEffect:
    """The layers that a change of one store path re-sends.

    Attributes:
        layers: the indexes of the layers that are sent again, ascending.
        size: the sum of the sizes of these layers, in bytes.
    """

    layers: tuple[int, ...]
    size: int


def find_changed(closure: Closure) -> list[int]:
    """Return for each path number which paths change with it, itself included, as a bit mask of path numbers."""
    masks = [0] * len(closure)
    for number in reversed(closure.order):
        mask = 1 << number
        for referrer in closure.referrers[number]:
            mask |= masks[referrer]
        masks[number] = mask
    return masks


def find_effects(
    changed: Sequence[int], layers: Sequence[Sequence[int]], sizes: Sequence[int]
) -> tuple[ChangeEffect, ...]:
    """Return what a change of each path re-sends.

    Args:
        changed: for each path number which paths change with it, from `find_changed`.
        layers: the path numbers of each layer.
        sizes: the size in bytes of each path.

    Returns:
        The effects, by path number.

    """
    masks = [sum(1 << number for number in set(layer)) for layer in layers]
    layer_sizes = [sum(sizes[number] for number in layer) for layer in layers]
    found = []
    for mask in changed:
        sent = tuple(index for index, members in enumerate(masks) if members & mask)
        found.append(ChangeEffect(sent, sum(layer_sizes[index] for index in sent)))
    return tuple(found)
