"""Updates in a row: the bytes that each version of an image sends if it keeps layers of the version before.

An update changes some paths by themselves. They and all paths that need them get another store path, and sizes stay.
The first version is planned by cost, and each other one with ``pinned`` after the one before it. Neither knows the
updates. They are compared with two plans that do. Both are made by cost at the start, and used for all versions. One
has the number of changes of each path as its rate. The other learns the rates as ``--history`` does.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from fractions import Fraction
from functools import reduce
from operator import add
from statistics import mean

from bench.reuse.closures import NamedClosure
from bench.reuse.updates import Replay, Update, draw_updates, read_histories

from lamina.core.closure import Closure
from lamina.core.names import StorePath, dump_nix32
from lamina.layering import KnownUpdates, LayerPlan, PinnedLayers, plan
from lamina.layering.updates import UpdateStatistics

# The rate of a path for each update that changes it by itself; that of all others is 1.
_RATE = 40


@dataclass(frozen=True)
class CountedUpdates(KnownUpdates):
    """The rates that updates of a closure turn out to have: how often each path changes by itself.

    Attributes:
        updates: the updates.
    """

    updates: Sequence[Update] = ()

    def estimate(self, closure: Closure) -> tuple[Sequence[int], UpdateStatistics]:
        """Return the rate of each path number, and what kinds of updates there are."""
        roots = frozenset(number for number in range(len(closure)) if not closure.referrers[number])
        others = [update for update in self.updates if not update <= roots]
        counts = Counter(number for update in others for number in update)
        root_share = Fraction(len(self.updates) - len(others), max(1, len(self.updates)))
        count = Fraction(counts.total(), max(1, len(others)))
        rates = [_RATE * counts[number] or 1 for number in range(len(closure))]
        return rates, UpdateStatistics(root_share, max(Fraction(1), count))


@dataclass(frozen=True, slots=True)
class SentBytes:
    """The bytes that updates in a row send, with the layers of four kinds of plans.

    Attributes:
        counted: one plan that has the number of changes of each path.
        learnt: one plan that learns from all versions.
        cost: one plan that knows nothing of the updates.
        pinned: a plan for each version, which knows nothing of the updates.
    """

    counted: float
    learnt: float
    cost: float
    pinned: float

    def __add__(self, other: SentBytes) -> SentBytes:
        """Return the sums."""
        return SentBytes(*(first + second for first, second in zip(astuple(self), astuple(other), strict=True)))


def measure(closure: Closure, rows: Iterable[Sequence[Update]], budget: int) -> SentBytes:
    """Return the bytes that all updates of ``rows`` send with at most ``budget`` layers of store paths."""
    first = plan(closure, max_layers=budget + 1, strategy="cost")
    return reduce(add, (_measure_row(closure, updates, budget, first) for updates in rows))


def _measure_row(closure: Closure, updates: Sequence[Update], budget: int, first: Sequence[LayerPlan]) -> SentBytes:
    replay = Replay.of(closure, updates)
    versions = list(make_versions(closure, updates))
    # The first version is the one that is planned, so it is the end of the history.
    history = tuple(frozenset(info.path for info in version) for version in reversed(versions))

    def count(known: KnownUpdates) -> float:
        return replay.count(plan(closure, max_layers=budget + 1, strategy="cost", known=known))

    return SentBytes(
        count(CountedUpdates(updates=updates)),
        count(KnownUpdates(history=(history,))),
        replay.count(first),
        _count_pinned(first, versions, budget),
    )


def make_versions(closure: Closure, updates: Iterable[Update]) -> Iterator[Closure]:
    """Yield the closure after each of ``updates``, whose numbers are those of the paths of ``closure``."""
    paths = [info.path for info in closure]
    current = closure
    for version, update in enumerate(updates, 1):
        changed = _spread(closure, update)
        renamed = {paths[number]: _rename(paths[number], version) for number in changed}
        paths = [renamed.get(path, path) for path in paths]
        current = Closure.of(
            replace(
                info,
                path=renamed.get(info.path, info.path),
                references=frozenset(renamed.get(path, path) for path in info.references),
            )
            for info in current
        )
        yield current


def _spread(closure: Closure, update: Update) -> set[int]:
    """Return the paths that ``update`` changes, and all that need one of them."""
    changed = set(update)
    for number in closure.order:
        if not changed.isdisjoint(closure.references[number]):
            changed.add(number)
    return changed


def _rename(path: StorePath, version: int) -> StorePath:
    digest = hashlib.sha256(f"{version} {path}".encode()).digest()
    return StorePath.parse_base(f"{dump_nix32(digest[:20])}-{path.name}")


def _count_pinned(first: Sequence[LayerPlan], versions: Iterable[Closure], budget: int) -> int:
    sent = 0
    before = first
    for closure in versions:
        layers = tuple(layer.paths for layer in before)
        before = plan(closure, max_layers=budget + 1, strategy=PinnedLayers(layers))
        sent += sum(layer.nar_size for layer in before if layer.paths not in layers)
    return sent


def list_rows(
    closures: Sequence[NamedClosure], count: int, seeds: Iterable[int]
) -> Iterator[tuple[str, Closure, list[Sequence[Update]]]]:
    """Yield the name, the closure and, for each seed, ``count`` updates in a row: drawn ones, and parts of histories.

    Args:
        closures: the closures.
        count: how many updates there are in a row.
        seeds: the seeds of the updates.
    """
    chosen = list(seeds)
    for named in closures:
        yield named.name, named.closure, [draw_updates(named.closure, count, seed) for seed in chosen]
    for name, named, updates in read_histories(closures):
        size = min(count, len(updates))
        rows = [random.Random(seed).sample(range(len(updates)), size) for seed in chosen]
        yield name, named.closure, [[updates[number] for number in sorted(row)] for row in rows]


def make_table(
    closures: Sequence[NamedClosure], budgets: Sequence[int], count: int, seeds: Sequence[int]
) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a table: bytes that are sent ÷ those with a plan that knows the updates.

    The bytes of all seeds are added up.
    """
    yield ("closure", "paths", "compared", *map(str, budgets))
    yield ("---", "--:", "---", *("--:" for _ in budgets))
    ratios: dict[str, list[list[float]]] = {}
    for name, closure, rows in list_rows(closures, count, seeds):
        found = [measure(closure, rows, budget) for budget in budgets]
        for title, numbers in _compare(found).items():
            ratios.setdefault(title, []).append(numbers)
            yield (name, str(len(closure)), title, *(f"{number:.3f}" for number in numbers))
    for title, lines in ratios.items():
        for word, combine in (("mean", mean), ("worst", max)):
            yield (word, "", title, *(f"{combine(column):.3f}" for column in zip(*lines, strict=True)))


def _compare(found: Sequence[SentBytes]) -> Mapping[str, list[float]]:
    return {
        "pinned ÷ counted": [each.pinned / each.counted for each in found],
        "cost ÷ counted": [each.cost / each.counted for each in found],
        "pinned ÷ learnt": [each.pinned / each.learnt for each in found],
    }
