"""Three applications in a binary cache, with two libraries, over one path that all need."""

from __future__ import annotations

from tests.support.binary_cache import Cache
from tests.support.factories import File

from lamina.core.names import StorePath

IMAGES = {"web": "http", "api": "http", "job": "log"}
"""The applications, each with its library."""


def add_applications(cache: Cache) -> dict[str, StorePath]:
    """Add the applications to ``cache``, and return their paths, those of the libraries and of ``base``."""
    base = cache.add("base-1", {b"lib": File(b"base" * 9000)})
    added = {name: cache.add(f"{name}-1", {b"lib": File(name.encode() * 9000)}, [base]) for name in ("http", "log")}
    for name, library in IMAGES.items():
        added[name] = cache.add(f"{name}-1", {b"bin": {b"run": File(name.encode() * 500)}}, [added[library]])
    return {"base": base, **added}
