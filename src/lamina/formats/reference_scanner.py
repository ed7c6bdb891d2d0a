"""Store paths that a text mentions: what Nix's scanner finds, and more than it where a path is spelt out.

Invariant: a mention is found wherever it lies, also across the border of two buffers; what is held grows with what
is found, not with what was looked at.

Nix looks for the hashes of the paths it knows (E. Dolstra's thesis, section 5.5.1, "Scanning for dependencies");
here a path spelt out as ``/nix/store/HASH-NAME`` counts as well, known or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lamina.core.names import HASH_LENGTH, NIX32, STORE_DIR, StorePath
from lamina.formats.hash_scanner import digit_runs, hash_candidates

_PREFIX = f"{STORE_DIR}/".encode()
_FULL_PATH = re.compile(re.escape(_PREFIX) + rb"([%b]{32}-[0-9a-zA-Z+\-._?=]{1,211})" % NIX32.encode())
_MAX_PATH_LENGTH = len(_PREFIX) + HASH_LENGTH + 1 + 211


class ReferenceScanner:
    """Collects mentions from bytes that come in any portions.

    ``is_known`` says which 32 digits may be a hash; a text can be full of such that are none.
    """

    def __init__(self, is_known: Callable[[str], bool] = lambda _: True) -> None:
        self._is_known = is_known
        self.paths: set[StorePath] = set()
        self.hashes: set[str] = set()
        self._tail = b""

    def feed(self, data: bytes | memoryview) -> None:
        """Looks at the next bytes."""
        text = self._tail + bytes(data)
        limit = len(text) - _MAX_PATH_LENGTH
        self._scan(text, limit)
        self._tail = text[max(0, limit) :]

    def close(self) -> None:
        """Says that there are no more."""
        self._scan(self._tail, len(self._tail))
        self._tail = b""

    def _scan(self, text: bytes, limit: int) -> None:
        """Takes the mentions that begin before ``limit``: they end in ``text``."""
        for found in _FULL_PATH.finditer(text):
            if found.start() < limit:
                self.paths.add(StorePath.parse_base(found[1].decode()))
        for run in digit_runs(text):
            self.hashes.update(filter(self._is_known, map(bytes.decode, hash_candidates(run))))


def scan_references(data: bytes) -> ReferenceScanner:
    """The mentions in ``data``."""
    found = ReferenceScanner()
    found.feed(data)
    found.close()
    return found
