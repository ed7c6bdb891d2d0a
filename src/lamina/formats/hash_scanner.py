"""References: which hashes of store paths occur in bytes that go by.

Invariant: a hash is found exactly where its 32 digits stand next to each other, also across the border of two
portions; what is held does not grow with what was looked at.

Nix looks for the hashes of the paths it knows, and for nothing else of them (E. Dolstra's thesis, section 5.5.1,
"Scanning for dependencies").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.core.names import HASH_LENGTH, NIX32

# A digit becomes 1 and all else 0: to map everything and then look for 32 ones is done in C, at ten times the speed
# of a regular expression for 32 digits.
_IS_DIGIT = bytes(byte in NIX32.encode() for byte in range(256))
_RUN = b"\1" * HASH_LENGTH
# Up to so many hashes are looked for one by one in a long run: that is faster than to take each of its windows.
_MAX_SEARCHED_SINGLY = 128


def digit_runs(text: bytes) -> Iterator[bytes]:
    """What of ``text`` is digits of hashes, 32 or more in a row, as long as it goes."""
    mapped = text.translate(_IS_DIGIT)
    end = 0
    while (start := mapped.find(_RUN, end)) >= 0:
        end = mapped.find(b"\0", start)
        end = len(mapped) if end < 0 else end
        yield text[start:end]


def hash_candidates(run: bytes) -> Iterator[bytes]:
    """Every 32 digits of ``run`` that could be a hash."""
    return (run[start : start + HASH_LENGTH] for start in range(len(run) - HASH_LENGTH + 1))


class HashScanner:
    """Collects which of ``hashes`` (32 digits each) occur in bytes that come in any portions."""

    def __init__(self, hashes: Iterable[str]) -> None:
        self.found: set[str] = set()
        self._missing = {digits.encode() for digits in hashes}
        self._tail = b""

    def feed(self, data: bytes | memoryview) -> None:
        """Looks at the next bytes."""
        if not self._missing:
            return
        text = b"".join((self._tail, data))
        for run in digit_runs(text):
            self._scan(run)
        self._tail = text[1 - HASH_LENGTH :]

    def _scan(self, run: bytes) -> None:
        missing = self._missing
        if len(missing) < min(_MAX_SEARCHED_SINGLY, len(run) - HASH_LENGTH + 1):
            found = {digits for digits in missing if digits in run}
        else:
            found = missing.intersection(hash_candidates(run))
        if found:
            missing -= found
            self.found.update(digits.decode() for digits in found)


def scan_hashes(data: bytes, hashes: Iterable[str]) -> set[str]:
    """Which of ``hashes`` occur in ``data``."""
    found = HashScanner(hashes)
    found.feed(data)
    return found.found
