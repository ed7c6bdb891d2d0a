"""The file ``nix-cache-info``, which describes a binary cache.

Known fields are checked, and unknown fields are ignored.

Invariant: ``parse(x.dump()) == x``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lamina.core.names import STORE_DIR
from lamina.errors import FormatError, Unavailable, error_context
from lamina.messages.redaction import short_repr

# The name of the file in a cache.
FILE_NAME = "nix-cache-info"
_KNOWN_FIELDS = ("StoreDir", "WantMassQuery", "Priority")


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """The description of a binary cache.

    ``store_dir`` is the store directory of its paths. ``want_mass_query`` allows queries for many paths at once. Caches
    with a smaller ``priority`` are asked first.
    """

    store_dir: str = STORE_DIR
    want_mass_query: bool = False
    priority: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> CacheInfo:
        """Parse ``key: value`` lines (Nix source, BinaryCacheStore::init). Raises `FormatError` with the line.

        Spaces around a value and empty lines are ignored.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise FormatError(FILE_NAME, short_repr(data[error.start : error.end]), "UTF-8") from error
        fields: dict[str, str] = {}
        for number, line in enumerate(text.split("\n"), 1):
            key, colon, value = line.partition(":")
            if not colon and line.strip():
                raise FormatError(f"{FILE_NAME} line {number}", short_repr(line), "KEY: VALUE")
            if key in fields:
                raise FormatError(f"{FILE_NAME} line {number}", f"a second {key}", "one")
            if key in _KNOWN_FIELDS:
                fields[key] = value.strip()
        # As in Nix, only the value 1 means true.
        return cls(_parse_store_dir(fields), fields.get("WantMassQuery") == "1", _parse_priority(fields))

    def dump(self) -> str:
        """Return the text of the file."""
        priority = "" if self.priority is None else f"Priority: {self.priority}\n"
        return f"StoreDir: {self.store_dir}\nWantMassQuery: {self.want_mass_query:d}\n{priority}"


def check_cache_info(data: bytes, subject: str) -> None:
    """Check that ``data`` describes a binary cache of paths in ``/nix/store``; errors begin with ``subject``.

    Raises:
        FormatError: The description is invalid.
        Unavailable: The cache is for another store directory.
    """
    with error_context(subject, FormatError):
        info = CacheInfo.parse(data)
    if info.store_dir != STORE_DIR:
        raise Unavailable(subject, f"a cache for {info.store_dir}", f"one for {STORE_DIR}")


def _parse_store_dir(fields: dict[str, str]) -> str:
    folder = fields.get("StoreDir", STORE_DIR)
    if not folder.startswith("/"):
        raise FormatError(FILE_NAME, f"StoreDir {short_repr(folder)}", "an absolute path")
    return folder


def _parse_priority(fields: dict[str, str]) -> int | None:
    text = fields.get("Priority")
    if text is None:
        return None
    if not re.fullmatch("-?[0-9]{1,9}", text):
        raise FormatError(FILE_NAME, f"Priority {short_repr(text)}", "a number of at most 9 digits")
    return int(text)
