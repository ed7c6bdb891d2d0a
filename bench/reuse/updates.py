"""Updates of a closure, and how many bytes they send with the layers of a plan.

An update changes some paths by themselves, and with them every path that needs one of them. A layer is sent again if
one of its paths changes. Updates are the bits of an integer, so that the updates that change a layer are the union of
those that change its paths.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.reuse.closures import HISTORIES, NamedClosure

from lamina.core.closure import Closure
from lamina.layering import LayerPlan

# The model: this share of all updates changes only a root, and the others this many paths at most.
ROOT_SHARE = 0.6
MAX_PATHS = 5

Update = frozenset[int]
"""The numbers of the paths that change by themselves."""


def draw_updates(closure: Closure, count: int, seed: int) -> list[Update]:
    """Draw ``count`` updates: 60 % change only a root, the others 1 to 5 random paths."""
    chance = random.Random(seed)
    numbers = range(len(closure))
    roots = [number for number in numbers if not closure.referrers[number]]
    updates = []
    for _ in range(count):
        if chance.random() < ROOT_SHARE:
            updates.append(frozenset([chance.choice(roots)]))
        else:
            updates.append(frozenset(chance.sample(numbers, min(len(numbers), chance.randint(1, MAX_PATHS)))))
    return updates


def read_history(file: Path, named: NamedClosure) -> list[Update]:
    """Read the updates of a history, and add updates of the root alone, which are 60 % of all then."""
    updates = [
        frozenset(named.numbers[row] for row in changed) for _, changed in json.loads(file.read_text())["updates"]
    ]
    root = named.numbers[-1]
    alone = round(len(updates) * ROOT_SHARE / (1 - ROOT_SHARE))
    return updates + [frozenset([root])] * alone


def read_histories(closures: Sequence[NamedClosure]) -> Iterable[tuple[str, NamedClosure, list[Update]]]:
    """Yield the name, the closure and the updates of each history that is one of ``closures``."""
    by_name = {named.name: named for named in closures}
    for file in sorted(HISTORIES.glob("*.json")):
        named = by_name.get(json.loads(file.read_text())["closure"])
        if named:
            yield f"{named.name}, {file.stem}", named, read_history(file, named)


@dataclass(frozen=True, slots=True)
class Replay:
    """Updates that are applied to a closure.

    Attributes:
        closure: the closure.
        changed: for each path number, the updates that change the path, as bits.
        least: the number of bytes that change in all updates together.
    """

    closure: Closure
    changed: Sequence[int]
    least: int

    @classmethod
    def of(cls, closure: Closure, updates: Sequence[Update]) -> Replay:
        """Apply ``updates`` to ``closure``."""
        changed = [0] * len(closure)
        for position, update in enumerate(updates):
            for number in update:
                changed[number] |= 1 << position
        for number in closure.order:
            for reference in closure.references[number]:
                changed[number] |= changed[reference]
        least = sum(info.nar_size * bits.bit_count() for info, bits in zip(closure, changed, strict=True))
        return cls(closure, changed, least)

    def ratio(self, plans: Iterable[LayerPlan]) -> float:
        """Return the bytes that are sent again with the layers of ``plans`` ÷ the bytes that change."""
        return self.count(plans) / self.least

    def count(self, plans: Iterable[LayerPlan]) -> int:
        """Return the number of bytes that are sent again with the layers of ``plans``."""
        sent = 0
        for plan in plans:
            bits = 0
            for path in plan.paths:
                bits |= self.changed[self.closure.numbers[path]]
            sent += plan.nar_size * bits.bit_count()
        return sent
