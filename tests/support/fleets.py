"""Random images that share paths."""

import random
from collections.abc import Iterable

from tests.support.closures import random_closure

from lamina.core.closure import Closure
from lamina.core.names import StorePath


def random_fleet(seed: int, paths: int, images: int, roots: int = 3) -> list[Closure]:
    """Return closures of up to ``roots`` paths of a random closure of ``paths`` paths.

    The same arguments give the same closures.
    """
    chance = random.Random(seed)
    union = random_closure(seed, paths, chance.randint(1, max(1, paths // 8)))
    infos = list(union)
    return [
        select(union, (info.path for info in chance.sample(infos, chance.randint(1, min(roots, paths)))))
        for _ in range(images)
    ]


def select(closure: Closure, roots: Iterable[StorePath]) -> Closure:
    """Return the part of ``closure`` that ``roots`` reach."""
    return Closure.resolve(roots, lambda paths: {path: closure.infos[closure.numbers[path]] for path in paths})
