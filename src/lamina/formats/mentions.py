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
from lamina.formats.references import runs, windows

_PREFIX = f"{STORE_DIR}/".encode()
_SPELT_OUT = re.compile(re.escape(_PREFIX) + rb"([%b]{32}-[0-9a-zA-Z+\-._?=]{1,211})" % NIX32.encode())
_LONGEST = len(_PREFIX) + HASH_LENGTH + 1 + 211


class Mentions:
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
        settled = len(text) - _LONGEST
        self._look(text, settled)
        self._tail = text[max(0, settled) :]

    def close(self) -> None:
        """Says that there are no more."""
        self._look(self._tail, len(self._tail))
        self._tail = b""

    def _look(self, text: bytes, settled: int) -> None:
        """Takes the mentions that begin before ``settled``: they end in ``text``."""
        for found in _SPELT_OUT.finditer(text):
            if found.start() < settled:
                self.paths.add(StorePath.parse_base(found[1].decode()))
        for run in runs(text):
            self.hashes.update(filter(self._is_known, map(bytes.decode, windows(run))))


def mentions(data: bytes) -> Mentions:
    """The mentions in ``data``."""
    found = Mentions()
    found.feed(data)
    found.close()
    return found
