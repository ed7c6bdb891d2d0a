"""The update model: how often a layer has to be sent again.

An update is a new version of the image. In `ROOT_UPDATES` of 100 updates, one of the image's roots changes and nothing
else. In every other update some paths change by themselves, `PATHS_PER_UPDATE` on average, each with a probability in
proportion to its rate. A path also changes whenever anything in its closure changes, because its hash depends on it.

A layer is sent again if one of its paths changes. Let ``r`` be the sum of the rates of all paths in the closures of its
paths, and ``T`` the sum of all rates. If the number ``k`` of paths that change follows a geometric distribution, the
probability that a layer without roots changes is ``k·r / (T + (k - 1)·r)`` of the other updates. The value is concave:
paths that change together in one update are sent once.

Rates are small integers. A path of rate 2 has two bits in a mask, so that ``r`` is the number of set bits in the union
of closures. All sums are integers, so a plan does not depend on the order of additions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd
from operator import or_

from lamina.core.closure import Closure

ROOT_UPDATES = 60
"""The number of updates, of 100, that change only a root of the image."""
PATHS_PER_UPDATE = 3
"""The number of paths that change by themselves in each of the other updates, on average."""


@dataclass(frozen=True, slots=True)
class UpdateStatistics:
    """The proportions of the kinds of updates.

    Attributes:
        root_share: the share of updates that change only a root of the image, from 0 to 1.
        paths_per_update: how many paths change by themselves in each of the other updates, on average; at least 1.
    """

    root_share: Fraction = Fraction(ROOT_UPDATES, 100)
    paths_per_update: Fraction = Fraction(PATHS_PER_UPDATE)

    def root_probability(self, count: int) -> int:
        """Return the probability that an update changes only one certain root, of ``count`` that share it."""
        return int(CERTAIN * self.root_share) // max(1, count)


CERTAIN = 1 << 20
"""The probability of 1. A power of two keeps products short, and the root's share of it exact enough."""

DEFAULT_STATISTICS = UpdateStatistics()


@dataclass(frozen=True, slots=True)
class Items:
    """Items that are distributed to layers: paths, or groups of paths that stay together.

    Attributes:
        masks: for each item, the union of the closures of its paths, with as many bits for a path as its rate.
        sizes: for each item, its size in bytes.
        extras: for each item, the probability that an update changes only a root in it.
        probabilities: the probability that an update changes anything in a union of closures, by its number of bits.
    """

    masks: Sequence[int]
    sizes: Sequence[int]
    extras: Sequence[int]
    probabilities: Sequence[int]

    @classmethod
    def of(
        cls,
        closure: Closure,
        order: Sequence[int],
        rates: Sequence[int],
        statistics: UpdateStatistics = DEFAULT_STATISTICS,
    ) -> Items:
        """Make an item of each path of ``closure``.

        Args:
            closure: the paths.
            order: the path numbers in the order that the items shall have.
            rates: the rate of each path number, at least 1. Only proportions matter.
            statistics: what kinds of updates there are.
        """
        divisor = gcd(*rates)
        rates = [rate // divisor for rate in rates]
        masks = _closure_masks(closure, order, rates)
        roots = [not closure.referrers[number] for number in order]
        extra = statistics.root_probability(sum(roots))
        count, parts = statistics.paths_per_update.as_integer_ratio()
        total = parts * sum(rates)
        share = int(CERTAIN * (1 - statistics.root_share)) * count
        return cls(
            [masks[number] for number in order],
            [closure.infos[number].nar_size for number in order],
            [extra if is_root else 0 for is_root in roots],
            [share * bits // (total + (count - parts) * bits) for bits in range(sum(rates) + 1)],
        )

    def __len__(self) -> int:
        return len(self.masks)

    def merge(self, groups: Iterable[Sequence[int]]) -> Items:
        """Return one item for each of ``groups``, which are lists of item numbers."""
        parts = list(groups)
        return Items(
            [reduce(or_, (self.masks[number] for number in part)) for part in parts],
            [sum(self.sizes[number] for number in part) for part in parts],
            [sum(self.extras[number] for number in part) for part in parts],
            self.probabilities,
        )

    def probability(self, number: int) -> int:
        """Return the probability that an update changes the item ``number``."""
        return self.probabilities[self.masks[number].bit_count()] + self.extras[number]

    def select(self, numbers: Sequence[int]) -> Items:
        """Return only the items ``numbers``."""
        return Items(
            [self.masks[number] for number in numbers],
            [self.sizes[number] for number in numbers],
            [self.extras[number] for number in numbers],
            self.probabilities,
        )


def as_share(probability: int) -> float:
    """Return ``probability`` as a number from 0 to 1, with five decimal places: the sixth is inexact.

    More than `CERTAIN` is 1: the roots of several images that are planned together each have a share of all updates.
    """
    return round(min(probability, CERTAIN) / CERTAIN, 5)


def _closure_masks(closure: Closure, order: Sequence[int], rates: Sequence[int]) -> Sequence[int]:
    masks = [0] * len(closure)
    position = 0
    for number in order:
        masks[number] = ((1 << rates[number]) - 1) << position
        position += rates[number]
    for number in closure.order:
        for reference in closure.references[number]:
            masks[number] |= masks[reference]
    return masks
