"""The store paths of an image as items of the update model.

Items are in the order of the names of their paths, so that ties are decided by names. Hashes only order paths of the
same name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.layering.known_updates import KnownUpdates
from lamina.layering.plans import LayerPlan
from lamina.layering.search import Group
from lamina.layering.updates import Items, as_share


@dataclass(frozen=True, slots=True)
class PathItems:
    """The store paths that a strategy distributes to layers.

    Attributes:
        infos: the path info of each item, sorted by name.
        items: the items, in the same order.
    """

    infos: Sequence[PathInfo]
    items: Items

    @classmethod
    def of(
        cls, closure: Closure, ignored: Collection[StorePath], listed: Collection[StorePath], known: KnownUpdates
    ) -> PathItems:
        """Make an item of each path of ``closure`` that is neither ignored nor listed.

        Args:
            closure: the paths of the image.
            ignored: paths that go into no layer. They are removed from the graph first, so that paths that only they
                need count as roots.
            listed: paths that are in other layers. A change of one of them also changes what refers to it.
            known: what is known of the image's updates.
        """
        counted = Closure.of(
            replace(info, references=info.references - frozenset(ignored))
            for info in closure
            if info.path not in ignored
        )
        if not len(counted):
            return cls((), Items((), (), (), ()))
        infos = sorted(counted, key=lambda info: (info.path.name, info.path.hash))
        every = Items.of(counted, [counted.numbers[info.path] for info in infos], *known.estimate(counted))
        numbers = [number for number, info in enumerate(infos) if info.path not in listed]
        return cls([infos[number] for number in numbers], every.select(numbers))

    def sort(self, groups: Iterable[Group]) -> list[Group]:
        """Return ``groups``, those that updates change least first."""
        return sorted(groups, key=lambda group: (group.probability(self.items), group.members))

    def plan(self, group: Group) -> LayerPlan:
        """Return the layer of ``group``, with its paths in the order of the items."""
        reason = "costs least alone" if len(group.members) == 1 else "cost least together"
        return LayerPlan.of((self.infos[number] for number in group.members), reason, self.rate(group))

    def rate(self, group: Group) -> float:
        """Return the share of updates that change one of the members of ``group``, from 0 to 1."""
        return as_share(group.probability(self.items))
