"""Random closures in the shape of real ones: a root that needs everything, and few paths that most others need."""

import random

from tests.support.factories import info

from lamina.core.closure import Closure


def random_closure(seed: int, paths: int, roots: int = 1) -> Closure:
    """Return a closure of ``paths`` paths, the last of which are ``roots`` roots; the same for the same arguments.

    A path refers mostly to paths with small numbers, which are the common libraries. Sizes spread over four orders of
    magnitude.
    """
    chance = random.Random(seed)
    names = [f"path{number}-1.{number}" for number in range(paths)]
    references: list[set[str]] = []
    for number in range(paths):
        count = min(number, chance.choice((0, 1, 2, 3, 5)))
        references.append({names[int(number * chance.random() ** 2)] for _ in range(count)})
    inner = paths - roots
    for number in range(inner):
        if not any(names[number] in targets for targets in references):
            references[chance.randrange(inner, paths)].add(names[number])
    for number in range(inner, paths):
        references[number] -= set(names[inner:])
    return Closure.of(
        info(name, targets, int(10 ** chance.uniform(3, 7))) for name, targets in zip(names, references, strict=True)
    )
