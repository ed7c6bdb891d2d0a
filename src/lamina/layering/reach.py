"""Reachability in a closure, as bit masks.

Invariant: bit ``i`` stands for the ``i``-th path of the closure, whose paths ascend.

A set of 10,000 paths is an integer of 1,250 bytes: a union of two costs a microsecond, so the transitive closure of
60,000 references is a matter of a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.core.closure import Closure
from lamina.core.names import StorePath


@dataclass(frozen=True, slots=True)
class Reachability:
    """By path number: what it needs, and what needs it, neither including itself."""

    dependencies: Sequence[int]
    referrers: Sequence[int]

    @classmethod
    def of(cls, closure: Closure) -> Reachability:
        """The reachability of ``closure``."""
        number = path_numbers(closure)
        dependencies, referrers = [0] * len(closure), [0] * len(closure)
        for info in closure.bottom_up:
            here = number[info.path]
            for reference in info.references - {info.path}:
                there = number[reference]
                dependencies[here] |= dependencies[there] | 1 << there
        for info in reversed(closure.bottom_up):
            here = number[info.path]
            for user in closure.referrers[info.path]:
                there = number[user]
                referrers[here] |= referrers[there] | 1 << there
        return cls(dependencies, referrers)


def path_numbers(closure: Closure) -> Mapping[StorePath, int]:
    """The number of every path of ``closure``."""
    return {info.path: number for number, info in enumerate(closure)}


def iter_bits(mask: int) -> Iterator[int]:
    """The numbers in ``mask``, ascending."""
    text = bin(mask)[:1:-1]
    place = text.find("1")
    while place >= 0:
        yield place
        place = text.find("1", place + 1)


class Weights:
    """Sums of the weights in a mask, eight at a time: a table of every subset's sum for each eight."""

    def __init__(self, weights: Sequence[int]) -> None:
        self._tables = [_subset_sums(weights[start : start + 8]) for start in range(0, len(weights), 8)]

    def sum(self, mask: int) -> int:
        """The sum of the weights whose bits are set in ``mask``."""
        chunks = mask.to_bytes(len(self._tables), "little")
        return sum(table[chunk] for table, chunk in zip(self._tables, chunks, strict=True) if chunk)


def _subset_sums(weights: Sequence[int]) -> list[int]:
    sums = [0]
    for weight in weights:
        sums += [total + weight for total in sums]
    return sums
