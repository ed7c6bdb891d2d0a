"""A scanner for store paths in a text: hashes of known paths, as Nix's scanner finds them, and full store paths.

A reference is also found if it spans two buffers. The memory used grows with the number of references found, not with
the length of the text.

Nix searches for the hashes of known paths (E. Dolstra's thesis, section 5.5.1, "Scanning for dependencies"). This
scanner also finds full paths, ``/nix/store/HASH-NAME``, whether they are known or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lamina.core.callbacks import accept
from lamina.core.names import HASH_LENGTH, NIX32, STORE_DIR, StorePath
from lamina.formats.hash_scanner import find_digit_runs, slide_window

_PREFIX = f"{STORE_DIR}/".encode()
_FULL_PATH = re.compile(re.escape(_PREFIX) + rb"([%b]{32}-[0-9a-zA-Z+\-._?=]{1,211})" % NIX32.encode())
_MAX_PATH_LENGTH = len(_PREFIX) + HASH_LENGTH + 1 + 211


class ReferenceScanner:
    """A scanner that collects ``paths`` and ``hashes`` from a stream of bytes.

    ``is_known`` decides which sequences of 32 digits count as a hash, because a text can contain many that are none.
    """

    def __init__(self, is_known: Callable[[str], bool] = accept) -> None:
        self._is_known = is_known
        self.paths: set[StorePath] = set()
        self.hashes: set[str] = set()
        self._tail = b""

    def feed(self, data: bytes | memoryview) -> None:
        """Scan the next bytes."""
        text = self._tail + bytes(data)
        limit = len(text) - _MAX_PATH_LENGTH
        self._scan(text, limit)
        self._tail = text[max(0, limit) :]

    def close(self) -> None:
        """Scan what is left, after the last bytes were fed."""
        self._scan(self._tail, len(self._tail))
        self._tail = b""

    def _scan(self, text: bytes, limit: int) -> None:
        """Collect the references that begin before ``limit``, and therefore end within ``text``."""
        for found in _FULL_PATH.finditer(text):
            if found.start() < limit:
                self.paths.add(StorePath.parse_base(found[1].decode()))
        for run in find_digit_runs(text):
            self.hashes.update(filter(self._is_known, map(bytes.decode, slide_window(run))))


def scan_references(data: bytes) -> ReferenceScanner:
    """Return a scanner with the references in ``data``."""
    scanner = ReferenceScanner()
    scanner.feed(data)
    scanner.close()
    return scanner
