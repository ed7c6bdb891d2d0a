"""The order of texts in which numbers are compared by their values: ``app-1.9`` comes before ``app-1.10``."""

from __future__ import annotations

import re

# A longer number is compared digit by digit, as text.
_NUMBER = re.compile("([0-9]{1,100})")


def natural_key(text: str) -> tuple[str | int, ...]:
    """Return a key to sort ``text`` by. The parts of all keys are text and numbers in turn.

    >>> sorted(["1.10", "latest", "1.9"], key=natural_key)
    ['1.9', '1.10', 'latest']
    """
    return tuple(int(part) if number % 2 else part for number, part in enumerate(_NUMBER.split(text)))
