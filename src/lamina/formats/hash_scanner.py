"""A scanner for references: it finds which of the given store path hashes occur in a stream of bytes.

A hash is also found if its 32 digits span two buffers. The memory used does not grow with the number of bytes scanned.

Nix finds references in the same way: it searches for the hashes of known paths, and not for their names (E. Dolstra's
thesis, section 5.5.1, "Scanning for dependencies").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.core.names import HASH_LENGTH, NIX32

# Maps a digit of a hash to 1 and every other byte to 0. Translating the text and searching for 32 ones runs in C and is
# ten times as fast as a regular expression for 32 digits.
_IS_DIGIT = bytes(byte in NIX32.encode() for byte in range(256))
_RUN = b"\1" * HASH_LENGTH
# Up to this many hashes are searched one by one in a long run of digits. That is faster than looking up every window.
_MAX_SEARCHED_SINGLY = 128


def find_digit_runs(text: bytes) -> Iterator[bytes]:
    """Yield the runs of 32 or more digits of hashes in ``text``, each as long as possible."""
    mapped = text.translate(_IS_DIGIT)
    end = 0
    while (start := mapped.find(_RUN, end)) >= 0:
        end = mapped.find(b"\0", start)
        end = len(mapped) if end < 0 else end
        yield text[start:end]


def slide_window(run: bytes) -> Iterator[bytes]:
    """Return every sequence of 32 consecutive digits of ``run``, each of which may be a hash."""
    return (run[start : start + HASH_LENGTH] for start in range(len(run) - HASH_LENGTH + 1))


class HashScanner:
    """A scanner that collects in ``found`` which of ``hashes`` (32 digits each) occur in a stream of bytes."""

    def __init__(self, hashes: Iterable[str]) -> None:
        self.found: set[str] = set()
        self._missing = {digits.encode() for digits in hashes}
        self._tail = b""

    def feed(self, data: bytes | memoryview) -> None:
        """Scan the next bytes."""
        if not self._missing:
            return
        text = b"".join((self._tail, data))
        for run in find_digit_runs(text):
            self._scan(run)
        self._tail = text[1 - HASH_LENGTH :]

    def _scan(self, run: bytes) -> None:
        missing = self._missing
        if len(missing) < min(_MAX_SEARCHED_SINGLY, len(run) - HASH_LENGTH + 1):
            found = {digits for digits in missing if digits in run}
        else:
            found = missing.intersection(slide_window(run))
        if found:
            missing -= found
            self.found.update(digits.decode() for digits in found)
