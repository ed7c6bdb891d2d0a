"""Sets of paths as bit masks: what each path reaches, and sums of weights over a set."""

import random

from tests.support.factories import closure

from lamina.layering.reach import Reachability, Weights, iter_bits


def test_each_path_reaches_all_that_it_needs_and_all_that_need_it_but_not_itself() -> None:
    found = closure("A→A,B  B→C  D→C")
    reach = Reachability.of(found)
    a, b, c, d = (1 << number for number in range(4))
    assert list(reach.dependencies) == [b | c, c, 0, c]
    assert list(reach.referrers) == [0, a, a | b | d, 0]


def test_bits_are_listed_in_ascending_order() -> None:
    assert list(iter_bits(0)) == []
    assert list(iter_bits(0b1011)) == [0, 1, 3]
    assert list(iter_bits(1 << 5000 | 1)) == [0, 5000]


def test_the_sum_of_weights_is_that_of_the_selected_ones() -> None:
    chance = random.Random(1)
    numbers = [chance.randrange(1000) for _ in range(21)]
    weights = Weights(numbers)
    for _ in range(50):
        mask = chance.getrandbits(21)
        assert weights.sum(mask) == sum(numbers[bit] for bit in iter_bits(mask))
    assert Weights([]).sum(0) == 0
