"""nix-cache-info: what a binary cache says of itself.

Invariant: ``parse(x.dump()) == x``; what is known here is valid, what is not is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lamina.core.names import STORE_DIR
from lamina.errors import FormatError
from lamina.messages.redaction import short_repr

# The name that it has in a cache.
FILE_NAME = "nix-cache-info"
_KNOWN = ("StoreDir", "WantMassQuery", "Priority")


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """The store a cache is of, whether it wants to be asked for many paths at once, and its rank (less is earlier)."""

    store_dir: str = STORE_DIR
    want_mass_query: bool = False
    priority: int | None = None

    @classmethod
    def parse(cls, text: str) -> CacheInfo:
        """What ``text`` says, one ``key: value`` a line (Nix source, BinaryCacheStore::init).

        Spaces around a value mean nothing, nor do empty lines. Raises `FormatError` with the line.
        """
        fields: dict[str, str] = {}
        for number, line in enumerate(text.split("\n"), 1):
            key, colon, value = line.partition(":")
            if not colon and line.strip():
                raise FormatError(f"{FILE_NAME} line {number}: got {short_repr(line)}, expected KEY: VALUE")
            if key in fields:
                raise FormatError(f"{FILE_NAME} line {number}: got a second {key}, expected one")
            if key in _KNOWN:
                fields[key] = value.strip()
        # As in Nix, whatever is not 1 is no.
        return cls(_store_dir(fields), fields.get("WantMassQuery") == "1", _priority(fields))

    def dump(self) -> str:
        """The text of it."""
        priority = "" if self.priority is None else f"Priority: {self.priority}\n"
        return f"StoreDir: {self.store_dir}\nWantMassQuery: {self.want_mass_query:d}\n{priority}"


def _store_dir(fields: dict[str, str]) -> str:
    folder = fields.get("StoreDir", STORE_DIR)
    if not folder.startswith("/"):
        raise FormatError(f"{FILE_NAME}: got StoreDir {short_repr(folder)}, expected an absolute path")
    return folder


def _priority(fields: dict[str, str]) -> int | None:
    text = fields.get("Priority")
    if text is None:
        return None
    if not re.fullmatch("-?[0-9]{1,9}", text):
        raise FormatError(f"{FILE_NAME}: got Priority {short_repr(text)}, expected a number of at most 9 digits")
    return int(text)
