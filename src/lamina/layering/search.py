"""Local search: improve groups by changes that reduce the total cost, until none is left.

Three kinds of change are tried. A single item moves to another group. A *block* of items moves, so that a group gets
rid of a dependency that several of its items share. Two groups are merged while another is split, which keeps their
number.

Every change reduces the total cost, which is an integer, so the search ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from lamina.layering.updates import Items

# A block is looked for at this many items of a group at most, those that lose most by being in it. The time for the
# blocks of a group grows with the square of the number.
_MAX_STARTS = 60
# How many of the cheapest merges are compared with the best splits.
_MAX_MERGES = 20

Row = tuple[int, int, int, int]
"""Mask, size, extra probability and cost of a group: what is compared most often, as a tuple."""


@dataclass(frozen=True, slots=True)
class Group:
    """Items that share a layer.

    Attributes:
        members: the item numbers, ascending.
        mask: the union of the masks.
        shared: the bits that at least two members have.
        size: the sum of the sizes.
        extra: the sum of the extra probabilities.
        cost: size × probability.
    """

    members: tuple[int, ...]
    mask: int
    shared: int
    size: int
    extra: int
    cost: int

    @classmethod
    def of(cls, items: Items, members: Iterable[int]) -> Group:
        """Make the group of ``members``."""
        numbers = tuple(sorted(members))
        mask = shared = size = extra = 0
        for number in numbers:
            shared |= mask & items.masks[number]
            mask |= items.masks[number]
            size += items.sizes[number]
            extra += items.extras[number]
        return cls(numbers, mask, shared, size, extra, size * (items.probabilities[mask.bit_count()] + extra))

    @property
    def row(self) -> Row:
        """The mask, size, extra probability and cost."""
        return self.mask, self.size, self.extra, self.cost

    def probability(self, items: Items) -> int:
        """Return the probability that an update changes one of the members."""
        return items.probabilities[self.mask.bit_count()] + self.extra


@dataclass(frozen=True, slots=True)
class Block:
    """Members that may leave their group together.

    Attributes:
        gain: by how much the cost of the group falls without them.
        saved: by how much the total cost falls if they become a group of their own; it may be negative.
        group: the members, as a group.
    """

    gain: int
    saved: int
    group: Group


def improve(items: Items, groups: Iterable[Sequence[int]], budget: int) -> list[tuple[int, ...]]:
    """Improve ``groups``, of which there may be ``budget`` at most.

    Returns:
        The groups, in no particular order; none is empty.
    """
    search = _Search(items, [Group.of(items, members) for members in groups])
    while True:
        while search.move_single_items():
            pass
        if search.split(budget) or search.move_blocks() or search.exchange():
            continue
        return [group.members for group in search.groups]


def move_single_items(items: Items, groups: Iterable[Sequence[int]], rounds: int) -> list[tuple[int, ...]]:
    """Move single items to the groups where they cost least, at most ``rounds`` times through all items."""
    search = _Search(items, [Group.of(items, members) for members in groups])
    for _ in range(rounds):
        if not search.move_single_items():
            break
    return [group.members for group in search.groups]


class _Offers:
    """The offers that are left to make to each group, after a round in which everything was offered to every group.

    A group is settled if it has not changed since. Nothing of a settled group is cheaper in another settled group, so
    it is offered only to the others.
    """

    def __init__(self, groups: Sequence[Group], settled: frozenset[tuple[int, ...]]) -> None:
        self._members = [group.members for group in groups]
        self._all = range(len(groups))
        self._open = [index for index, members in enumerate(self._members) if members not in settled]
        self._is_open = [members not in settled for members in self._members]
        self._changed: set[int] = set()

    @property
    def has_changed(self) -> bool:
        """Whether the members of at least one group changed in this round."""
        return bool(self._changed)

    def candidates(self, index: int) -> Sequence[int]:
        """Return the groups to which the members of the group ``index`` are offered."""
        return self._all if self._is_open[index] else self._open

    def note_change(self, *indices: int) -> None:
        """Remember that the groups ``indices`` have changed."""
        for index in indices:
            self._changed.add(index)
            if not self._is_open[index]:
                self._is_open[index] = True
                self._open.append(index)

    def settled(self) -> frozenset[tuple[int, ...]]:
        """Return the members of the groups that have not changed in this round."""
        return frozenset(members for index, members in enumerate(self._members) if index not in self._changed)


class _Search:
    def __init__(self, items: Items, groups: list[Group]) -> None:
        self.groups = groups
        self._items = items
        # Blocks are computed once for each group. A group that changes is another key.
        self._blocks: dict[tuple[int, ...], list[Block]] = {}
        self._settled_items: frozenset[tuple[int, ...]] = frozenset()
        self._settled_blocks: frozenset[tuple[int, ...]] = frozenset()

    def move_single_items(self) -> bool:
        """Offer every item to every other group; return whether any has moved.

        The mask of a group that an item leaves is not computed again before the end: until then it may have bits that
        no member has any more, so the cost of the group is at most overestimated.
        """
        items = self._items
        home = {number: index for index, group in enumerate(self.groups) for number in group.members}
        counts = [len(group.members) for group in self.groups]
        shared = [group.shared for group in self.groups]
        rows = [group.row for group in self.groups]
        offers = _Offers(self.groups, self._settled_items)
        for number, index in sorted(home.items()):
            candidates = offers.candidates(index)
            if not candidates:
                continue
            mask, size, extra = items.masks[number], items.sizes[number], items.extras[number]
            old_mask, old_size, old_extra, old_cost = rows[index]
            rest = old_mask & (~mask | shared[index]) if counts[index] > 1 else 0
            left = self._make_row(rest, old_size - size, old_extra - extra)
            target = self._find_target((mask, size, extra, 0), index, old_cost - left[3], rows, candidates)
            if target is not None:
                rows[index] = left
                new_mask, new_size, new_extra, _ = rows[target]
                shared[target] |= new_mask & mask
                rows[target] = self._make_row(new_mask | mask, new_size + size, new_extra + extra)
                home[number] = target
                counts[index] -= 1
                counts[target] += 1
                offers.note_change(index, target)
        self._settled_items = offers.settled()
        if offers.has_changed:
            self._regroup(home)
        return offers.has_changed

    def move_blocks(self) -> bool:
        """Move the blocks that reduce the cost; return whether any has moved."""
        offers = _Offers(self.groups, self._settled_blocks)
        for index in range(len(self.groups)):
            while self._move_block(index, offers):
                pass
        self._settled_blocks = offers.settled()
        return offers.has_changed

    def split(self, budget: int) -> bool:
        """Split groups while there are fewer than ``budget``; return whether any was split."""
        has_split = False
        while len(self.groups) < budget:
            splits = [(-block.saved, block.group.members, index) for index, block in self._best_splits()]
            if not splits or min(splits)[0] >= 0:
                break
            _, members, index = min(splits)
            self.groups.append(Group.of(self._items, ()))
            self._move(members, index, len(self.groups) - 1)
            has_split = True
        return has_split

    def exchange(self) -> bool:
        """Merge two groups and split a third, where it reduces the cost most; return whether it was done."""
        splits = sorted(self._best_splits(), key=lambda item: (-item[1].saved, item[1].group.members))
        best: tuple[int, int, int, int, tuple[int, ...]] | None = None
        for cost, first, second in self._cheapest_merges():
            for index, block in splits:
                if index not in {first, second}:
                    found = (cost - block.saved, first, second, index, block.group.members)
                    best = min(best, found) if best else found
                    break
        if best is None or best[0] >= 0:
            return False
        _, first, second, index, members = best
        self._move(self.groups[second].members, second, first)
        self._move(members, index, second)
        return True

    def _find_target(
        self, moved: Row, source: int, gain: int, rows: Sequence[Row], candidates: Sequence[int]
    ) -> int | None:
        """Return the group of ``candidates`` where ``moved`` costs least if that is less than ``gain``."""
        probabilities = self._items.probabilities
        mask, size, extra, _ = moved
        chosen = rows if len(candidates) == len(rows) else [rows[index] for index in candidates]
        costs = [
            (size_ + size) * (probabilities[(mask_ | mask).bit_count()] + extra_ + extra) - cost_
            for mask_, size_, extra_, cost_ in chosen
        ]
        if len(chosen) == len(rows):
            costs[source] = gain
        lowest = min(costs)
        return candidates[costs.index(lowest)] if lowest < gain else None

    def _make_row(self, mask: int, size: int, extra: int) -> Row:
        return mask, size, extra, size * (self._items.probabilities[mask.bit_count()] + extra)

    def _regroup(self, home: Mapping[int, int]) -> None:
        """Make the groups whose members have changed; ``home`` has the index of each item's group."""
        members: list[list[int]] = [[] for _ in self.groups]
        for number in sorted(home):
            members[home[number]].append(number)
        self.groups = [
            group if group.members == tuple(numbers) else Group.of(self._items, numbers)
            for group, numbers in zip(self.groups, members, strict=True)
            if numbers
        ]

    def _move(self, numbers: Sequence[int], source: int, target: int) -> None:
        moved = set(numbers)
        stay = (number for number in self.groups[source].members if number not in moved)
        self.groups[source] = Group.of(self._items, stay)
        self.groups[target] = Group.of(self._items, (*self.groups[target].members, *numbers))

    def _move_block(self, index: int, offers: _Offers) -> bool:
        candidates = offers.candidates(index)
        if not candidates:
            return False
        rows = [group.row for group in self.groups]
        for block in self._blocks_of(self.groups[index]):
            moved = block.group
            # No group can take a block for less than it costs alone.
            if block.saved > 0:
                target = self._find_target(moved.row, index, block.gain, rows, candidates)
                if target is not None:
                    self._move(moved.members, index, target)
                    offers.note_change(index, target)
                    return True
        return False

    def _best_splits(self) -> Iterator[tuple[int, Block]]:
        for index, group in enumerate(self.groups):
            blocks = self._blocks_of(group)
            if blocks:
                yield index, blocks[0]

    def _cheapest_merges(self) -> list[tuple[int, int, int]]:
        probabilities = self._items.probabilities
        merges = []
        for first, group in enumerate(self.groups):
            for second in range(first + 1, len(self.groups)):
                other = self.groups[second]
                probability = probabilities[(group.mask | other.mask).bit_count()] + group.extra + other.extra
                cost = (group.size + other.size) * probability - group.cost - other.cost
                merges.append((cost, first, second))
        return sorted(merges)[:_MAX_MERGES]

    def _blocks_of(self, group: Group) -> list[Block]:
        """Return the blocks of ``group``, those that are best as a group of their own first."""
        if group.members not in self._blocks:
            found = {members: self._make_block(group, members) for members in self._block_members(group)}
            self._blocks[group.members] = sorted(found.values(), key=lambda block: (-block.saved, block.group.members))
        return self._blocks[group.members]

    def _block_members(self, group: Group) -> Iterator[tuple[int, ...]]:
        """Yield candidates: a member alone, with all members that need it, and with all members that it needs."""
        if len(group.members) == 1:
            return
        items = self._items
        members = [(number, items.masks[number]) for number in group.members]
        for start in self._starts(group):
            mask = items.masks[start]
            referrers = tuple(number for number, other in members if not mask & ~other)
            needed = tuple(number for number, other in members if not other & ~mask)
            for block in {(start,), referrers, needed}:
                if len(block) < len(members):
                    yield block

    def _starts(self, group: Group) -> Sequence[int]:
        if len(group.members) <= _MAX_STARTS:
            return group.members
        items = self._items
        probability = items.probabilities[group.mask.bit_count()]

        def loss(number: int) -> tuple[int, int]:
            own = items.probabilities[items.masks[number].bit_count()]
            return -items.sizes[number] * (probability - own), number

        return sorted(group.members, key=loss)[:_MAX_STARTS]

    def _make_block(self, group: Group, members: tuple[int, ...]) -> Block:
        items = self._items
        block = Group.of(items, members)
        leaving = set(members)
        rest = reduce(or_, (items.masks[number] for number in group.members if number not in leaving))
        left = (group.size - block.size) * (items.probabilities[rest.bit_count()] + group.extra - block.extra)
        return Block(group.cost - left, group.cost - left - block.cost, block)
