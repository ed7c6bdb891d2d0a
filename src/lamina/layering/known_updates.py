"""The user's knowledge about updates: earlier images, and the rates of packages.

A rate that the user gives counts, else what earlier images show, else the default rate of the path's kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lamina.core.closure import Closure
from lamina.errors import InvalidArgument
from lamina.layering.history import ObservedUpdates, PathSets
from lamina.layering.layer_lists import PathPattern, select_paths
from lamina.layering.rates import ORDINARY, estimate_rates
from lamina.layering.reach import Reachability, iter_bits
from lamina.layering.updates import DEFAULT_STATISTICS, UpdateStatistics
from lamina.messages.redaction import short_repr

_LEAST, _MOST = Fraction(1, 1000), Fraction(1000)
_EXPECTED = f"a number from {float(_LEAST)} to {_MOST}, where 1 is the rate of most packages"
# Fractions become whole numbers before they are added up, because the denominators of sums could grow without limit.
_ONE = 1 << 40
# The model has a bit for each unit of a rate. Many bits keep rates apart, and few keep planning fast.
_MAX_BITS = 8_000
_LEAST_BITS_PER_PATH, _MOST_BITS_PER_PATH = 2, 16

GivenRates = tuple[tuple[str, Fraction], ...]
"""Patterns as `PathPattern.parse` takes them, each with the rate of what it matches: 1 is that of most packages."""


def parse_rates(rates: Mapping[str, object] | Iterable[tuple[str, object]], subject: str) -> GivenRates:
    """Check patterns and their rates.

    Args:
        rates: a number for each pattern, from 0.001 to 1000.
        subject: the start of an error message.

    Returns:
        The patterns and the rates, in the same order.

    Raises:
        InvalidArgument: a pattern can match no store path, or a rate is no such number.
    """
    pairs = rates.items() if isinstance(rates, Mapping) else rates
    return tuple(
        (str(PathPattern.parse(text, subject)), _parse_rate(value, f"{subject}: {text}")) for text, value in pairs
    )


def _parse_rate(value: object, subject: str) -> Fraction:
    # The text of a float is the number that the user wrote; its exact value is another one.
    if isinstance(value, int | float | Fraction) and not isinstance(value, bool) and _LEAST <= value <= _MOST:
        return Fraction(str(value))
    raise InvalidArgument(subject, short_repr(value), _EXPECTED)


@dataclass(frozen=True, slots=True)
class KnownUpdates:
    """Knowledge about the updates of an image.

    Attributes:
        rates: rates that the user gives. The first pattern that takes a path counts.
        history: the store paths of earlier images: for each name, the oldest image first.
    """

    rates: GivenRates = ()
    history: tuple[PathSets, ...] = ()

    def estimate(self, closure: Closure) -> tuple[Sequence[int], UpdateStatistics]:
        """Return the rate of each path number of ``closure``, and what kinds of updates there are.

        The rates are whole numbers, 1 at least, so that only their proportions matter.
        """
        defaults = estimate_rates(closure)
        if not self:
            return defaults, DEFAULT_STATISTICS
        observed = ObservedUpdates.of(closure, self.history)
        statistics = observed.statistics if self.history else DEFAULT_STATISTICS
        unit = statistics.paths_per_update / sum(defaults)
        given = _match(self.rates, closure)
        rates = [
            given[number] * ORDINARY * unit if number in given else observed.estimate(info.path, default * unit)
            for number, (info, default) in enumerate(zip(closure, defaults, strict=True))
        ]
        return _round(rates), statistics

    def __bool__(self) -> bool:
        return bool(self.rates or self.history)


NOTHING_KNOWN = KnownUpdates()


def find_unmatched(rates: GivenRates, closure: Closure) -> tuple[str, ...]:
    """Return the patterns that match no path of ``closure``."""
    return tuple(text for text, _ in rates if not PathPattern.parse(text).find(closure))


def _match(rates: GivenRates, closure: Closure) -> Mapping[int, Fraction]:
    """Return the rate of each path number that a pattern takes; the first pattern counts."""
    patterns = [(PathPattern.parse(text), rate) for text, rate in rates]
    reach = Reachability.of(closure) if any(pattern.takes_closure for pattern, _ in patterns) else None
    found: dict[int, Fraction] = {}
    for pattern, rate in patterns:
        for number in iter_bits(select_paths(pattern, closure, reach)):
            found.setdefault(number, rate)
    return found


def _round(rates: Sequence[Fraction]) -> Sequence[int]:
    """Return whole numbers in nearly the same proportions, with a sum that depends on the number of rates."""
    weights = [max(1, int(rate * _ONE)) for rate in rates]
    bits = min(_MOST_BITS_PER_PATH, max(_LEAST_BITS_PER_PATH, _MAX_BITS // len(rates))) * len(rates)
    total = sum(weights)
    return [max(1, (2 * weight * bits + total) // (2 * total)) for weight in weights]
