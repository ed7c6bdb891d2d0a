"""The example cache, and what has to be true of every embedded store."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.paths import EXAMPLES

from lamina.engine import measure
from lamina.stores.embedded import EmbeddedStore, nar_name

KEY = (EXAMPLES / "public-key").read_text().strip()
ROOT = json.loads((EXAMPLES / "roots.json").read_text())["x86_64-linux"]
CLOSURE = 6


def check(folder: Path) -> set[str]:
    """The valid paths of a store, once each one's NAR is what is said and all that it refers to is valid."""
    if not folder.exists():  # nothing came, so it was not made
        return set()
    store = EmbeddedStore(folder)
    found = {known.info.path: known for known in store.narinfos()}
    for path, known in found.items():
        place = store.place(path)
        assert measure([place]).digest == known.info.nar_hash
        assert (known.url, known.compression, known.file_size) == (
            nar_name(known.info.nar_hash),
            "none",
            place.length,
        )
        assert known.info.references <= found.keys()
    return set(map(str, found))
