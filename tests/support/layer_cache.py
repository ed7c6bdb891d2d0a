"""Entries of a layer cache that follow from a name, and layer caches that check what they find."""

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.core.names import Digest, StorePath, dump_nix32
from lamina.formats.tar import Owner
from lamina.layer_cache.cache import MAX_SIZE, LayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.system.transfer import BlobInfo

CODECS = "gzip 6 zlib 1.3.1", "zstd 3 1.5.7"
DAY = 24 * 60 * 60


def digest(text: str) -> Digest:
    """Return the SHA-256 of ``text``."""
    return Digest(hashlib.sha256(text.encode()).digest())


def path(name: str) -> StorePath:
    """Return the store path of this name, with a hash that follows from it."""
    return StorePath.parse_base(f"{dump_nix32(digest(name).raw[:20])}-{name}")


@dataclass(frozen=True)
class Fact:
    """Everything the layer cache holds about the layer of one store path; it follows from the name."""

    name: str

    @property
    def inputs(self) -> LayerInputs:
        return LayerInputs(Owner(0, 0, "root", "root"), 1, ((path(self.name), digest(self.name), len(self.name)),))

    @property
    def layer(self) -> BlobInfo:
        return BlobInfo(digest(f"tar {self.name}"), 10240)

    def blob(self, codec: str) -> BlobInfo:
        return BlobInfo(digest(f"{codec} {self.name}"), 77)

    @property
    def top(self) -> bytes:
        return b"/nix/store/" + path(self.name).base.encode()

    @property
    def listing_key(self) -> tuple[bytes, Digest]:
        return self.top, digest(self.name)

    @property
    def listing(self) -> bytes:
        return random.Random(self.name).randbytes(500) * 2

    def put(self, layer_cache: LayerCache) -> None:
        layer_cache.put_layer(self.inputs, self.layer)
        for codec in CODECS:
            layer_cache.put_compressed(self.layer.digest, codec, self.blob(codec))
        layer_cache.put_listing(*self.listing_key, self.listing)

    def lookups(self, layer_cache: LayerCache) -> list[bool]:
        """Return which of its four entries are found; each of those must be right."""
        answers = [
            (layer_cache.get_layer(self.inputs), self.layer),
            *((layer_cache.get_compressed(self.layer.digest, codec), self.blob(codec)) for codec in CODECS),
            (layer_cache.get_listings([self.listing_key]).get(self.listing_key), self.listing),
        ]
        assert all(answer in {None, truth} for answer, truth in answers), self.name
        return [answer is not None for answer, _ in answers]


def facts(count: int, name: str = "fact") -> list[Fact]:
    """Return ``count`` facts with different names."""
    return [Fact(f"{name}-{number}") for number in range(count)]


class OpenedCache:
    """A layer cache, and the warnings that it has printed."""

    def __init__(self, file: Path, *, max_size: int = MAX_SIZE, now: float | None = None) -> None:
        self.warnings: list[str] = []
        self.layer_cache = LayerCache.open(file, self.warnings.append, max_size=max_size, now=now)


@contextlib.contextmanager
def open_cache(
    file: Path, *, warnings: int = 0, max_size: int = MAX_SIZE, now: float | None = None
) -> Iterator[LayerCache]:
    """Open the layer cache for the block, in which it must print this number of warnings."""
    opened = OpenedCache(file, max_size=max_size, now=now)
    with opened.layer_cache:
        yield opened.layer_cache
    assert len(opened.warnings) == warnings, opened.warnings


def put(file: Path, new_facts: list[Fact], *, max_size: int = MAX_SIZE, now: float | None = None) -> None:
    """Put all entries of ``new_facts`` into the layer cache at ``file``."""
    with open_cache(file, max_size=max_size, now=now) as layer_cache:
        for fact in new_facts:
            fact.put(layer_cache)


def check(layer_cache: LayerCache, truth: list[Fact]) -> int:
    """Return how many entries of ``truth`` are found; all of them must be right."""
    for inputs, blob_info in layer_cache.entries():
        fact = Fact(inputs.contents[0][0].name)
        assert (inputs, blob_info) == (fact.inputs, fact.layer)
    return sum(sum(fact.lookups(layer_cache)) for fact in truth)


def count_known(file: Path, truth: list[Fact], warnings: int = 0, now: float | None = None) -> int:
    """Return how many entries of ``truth`` the layer cache at ``file`` has; all of them must be right."""
    with open_cache(file, warnings=warnings, now=now) as layer_cache:
        return check(layer_cache, truth)


def read_folder(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the modification times and contents of the files in ``folder``."""
    return {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in folder.iterdir()}


def add_blob(folder: Path, size: int, used: float = 0.0) -> Path:
    """Add a file of ``size`` bytes to the blob cache ``folder``, which was last used at ``used``, and return it."""
    file = folder / "sha256" / f"{size:064x}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    os.utime(file, (used, used))
    return file
