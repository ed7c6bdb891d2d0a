"""Remember how items were divided into layers, because looking for a good division takes long.

The key of an entry is a hash of everything that the division depends on. So an entry never becomes outdated, and a plan
is the same with and without it. An entry that does not divide exactly these items within the budget is ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from lamina.core.names import Digest
from lamina.layering.updates import Items

Groups = Sequence[Sequence[int]]
"""The item numbers of each layer."""


class PlanCache(Protocol):
    """The divisions that earlier runs found: for each item, in order, the number of its layer."""

    def get_plan(self, key: Digest) -> Sequence[int] | None:
        """Return the entry with ``key``, or None if there is none."""

    def put_plan(self, key: Digest, layers: Sequence[int]) -> None:
        """Record the entry with ``key``."""


class NoPlanCache:
    """A plan cache that stores nothing."""

    def get_plan(self, key: Digest) -> None:
        """Return None."""

    def put_plan(self, key: Digest, layers: Sequence[int]) -> None:
        """Do nothing."""


NO_PLAN_CACHE = NoPlanCache()


def make_plan_key(items: Items, budget: int, algorithm: int) -> Digest:
    """Return the SHA-256 of all that a division of ``items`` depends on.

    Args:
        items: the items, which hold the references, sizes and rates.
        budget: the maximum number of layers.
        algorithm: the version of the algorithm.
    """
    width = -(-len(items.probabilities) // 8)  # no mask has more bits than there are probabilities
    hashed = hashlib.sha256(f"{algorithm} {budget} {len(items)} {width}\n".encode())
    for numbers in (items.sizes, items.extras, items.probabilities):
        hashed.update(f"{' '.join(map(str, numbers))}\n".encode())
    for mask in items.masks:
        hashed.update(mask.to_bytes(width, "big"))
    return Digest(hashed.digest())


def dump_groups(groups: Groups) -> Sequence[int]:
    """Return for each item the number of its group, which are numbered in the order of their first items."""
    found = {item: number for number, group in enumerate(sorted(groups, key=min)) for item in group}
    return [found[item] for item in range(len(found))]


def parse_groups(layers: Sequence[int], count: int, budget: int) -> Groups | None:
    """Return the groups that `dump_groups` was called with, or None if ``layers`` cannot be its result.

    Args:
        layers: the number of the group of each item.
        count: the number of items.
        budget: the maximum number of groups.
    """
    numbers = {*layers}
    if len(layers) != count or len(numbers) > budget or numbers != {*range(len(numbers))}:
        return None
    groups: list[list[int]] = [[] for _ in numbers]
    for item, number in enumerate(layers):
        groups[number].append(item)
    return groups
