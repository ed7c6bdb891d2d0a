"""Layering of several images together, compared with the least cost of all plans of small images."""

from collections.abc import Collection, Iterator, Sequence
from itertools import product

from tests.support.examples import scale
from tests.support.fleets import random_fleet

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.layering import SharingImage
from lamina.layering.cost import cost
from lamina.layering.shared import make_items, plan_together
from lamina.layering.shared_merging import UPDATES
from lamina.layering.updates import CERTAIN, Items

Layer = frozenset[StorePath]


class Costs:
    """What layers of some images cost, by the definition of `lamina.layering.shared`."""

    def __init__(self, images: Sequence[SharingImage]) -> None:
        union = Closure.of({info.path: info for image in images for info in image.closure}.values())
        infos = sorted(union, key=lambda info: (info.path.name, info.path.hash))
        self._numbers = {info.path: number for number, info in enumerate(infos)}
        self._items = make_items(images, union, infos)
        self._found: dict[Layer, Items] = {}

    def stored(self, layer: Layer) -> int:
        return CERTAIN * self._merge(layer).sizes[0]

    def sent(self, layer: Layer) -> int:
        merged = self._merge(layer)
        return UPDATES * merged.sizes[0] * merged.probability(0)

    def add_up(self, plans: Collection[Collection[Layer]], most: int | None = None) -> int | None:
        """Return the cost of ``plans``; None if a registry stores more than ``most`` bytes."""
        stored = sum(map(self.stored, {layer for each in plans for layer in each}))
        if most is not None and stored > CERTAIN * most:
            return None
        return stored + sum(self.sent(layer) for each in plans for layer in each)

    def least(self, images: Sequence[SharingImage], most: int) -> int:
        """Return the least cost of all plans of ``images`` with which a registry stores at most ``most`` bytes."""
        choices = [list(partitions(list(image.closure.numbers), image.budget)) for image in images]
        costs = (self.add_up(plans, most) for plans in product(*choices))
        return min(cost for cost in costs if cost is not None)

    def _merge(self, layer: Layer) -> Items:
        if layer not in self._found:
            self._found[layer] = self._items.merge([[self._numbers[path] for path in layer]])
        return self._found[layer]


def partitions(paths: Sequence[StorePath], budget: int) -> Iterator[list[Layer]]:
    """Yield each division of ``paths`` into at most ``budget`` layers."""
    if not paths:
        yield []
        return
    for found in partitions(paths[1:], budget):
        for index, layer in enumerate(found):
            yield [*found[:index], layer | {paths[0]}, *found[index + 1 :]]
        if len(found) < budget:
            yield [*found, frozenset([paths[0]])]


def small_fleets() -> Iterator[list[Closure]]:
    """Yield two images of at most 6 paths, or three of at most 4, which have paths in common."""
    for seed in range(scale(100)):
        count, largest = ((2, 6), (3, 4))[seed % 2]
        closures = [each for each in random_fleet(seed, 8, count) if len(each) <= largest]
        if len(set(closures)) > 1 and frozenset.intersection(*(frozenset(each.numbers) for each in closures)):
            yield closures


def test_plans_of_small_images_cost_little_more_than_the_best() -> None:
    """The excess over the best plans that store no more than separate ones is 1 % on average at most, 10 % at worst."""
    excesses = []
    for closures in small_fleets():
        for budget in (1, 2, 3):
            images = [SharingImage(each, budget) for each in dict.fromkeys(closures)]
            planned = plan_together(frozenset(images))
            separate = {layer.paths: layer.nar_size for each in images for layer in cost(each.closure, budget, ())}
            costs = Costs(images)
            found = costs.add_up([[frozenset(layer.paths) for layer in planned[image]] for image in images])
            least = costs.least(images, sum(separate.values()))
            assert found is not None
            assert found >= least
            excesses.append(found / least - 1)
    assert len(excesses) > 20
    assert sum(excesses) / len(excesses) <= 0.01
    assert max(excesses) <= 0.1
