"""Closures of any number of paths, whose graph and sizes look like those of a distribution; a seed decides them."""

import random

from tests.support.factories import info

from lamina.core.closure import Closure


def make_closure(count: int, seed: int = 1) -> Closure:
    """Return a closure of ``count`` paths: few are needed by most, sizes span many orders, one root needs all."""
    source = random.Random(seed)
    references = [
        sorted({int(number * source.random() ** 1.7) for _ in range(source.randint(1, 7))} if number else ())
        for number in range(count)
    ]
    needed = {reference for targets in references for reference in targets}
    references[-1] = sorted({*references[-1], *({*range(count - 1)} - needed)})
    sizes = [int(2 ** source.uniform(10, 26)) for _ in range(count)]
    return Closure.of(
        info(_name(number), map(_name, targets), sizes[number]) for number, targets in enumerate(references)
    )


def _name(number: int) -> str:
    return f"package{number}-1.{number % 7}"
