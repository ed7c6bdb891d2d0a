"""From what a user writes after ``--store`` to a store.

Invariant: opening looks at what is named and nowhere else, and asks nobody over the network; asking the store does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.names import STORE_DIR
from lamina.errors import Unavailable
from lamina.formats.cacheinfo import NAME as CACHE_INFO
from lamina.stores.chained import FirstOf
from lamina.stores.local.database import DATABASE, LocalStore
from lamina.stores.local.folder import Folder
from lamina.stores.local.graph import GraphStore
from lamina.stores.protocols import Store
from lamina.transports.urls import shown_url

if TYPE_CHECKING:  # most stores are on this machine
    from lamina.stores.binary_cache.fetch import Fetching
    from lamina.stores.binary_cache.trust import Trust
    from lamina.stores.embedded.store import EmbeddedStore

MACHINE = Path("/")
DEFAULT_CACHE = "https://cache.nixos.org"


@dataclass(frozen=True, slots=True)
class Access:
    """How stores beyond this machine's are used.

    ``embedded`` is the folder that keeps what comes from binary caches, None for a temporary one; ``channel`` is where
    names are looked up first; ``lists`` keeps the lists of channels; ``offline`` is to ask nobody over the network;
    ``fetching`` brings paths into ``embedded`` already, so that no other has to be opened.
    ``now`` is in seconds since 1970; ``warn`` is told what is odd.
    """

    embedded: Path | None = None
    trust: Callable[[], Trust] | None = None
    channel: str | None = None
    lists: Path | None = None
    offline: bool = False
    fetching: Fetching | None = None
    now: float = 0
    warn: Callable[[str], object] = field(default=len)


def open_stores(places: Sequence[str], access: Access | None = None) -> Store:
    """The stores at ``places``, the first asked first; none is the machine's own and then the embedded one.

    Raises `InvalidName` for what is no store, `Unavailable` where it cannot be read, `FormatError` for a broken graph.
    """
    opening = _Opening(places, access or Access())
    stores = opening.named() if places else opening.default()
    channel = opening.channel()
    if len(stores) == 1 and not channel and not places:
        return stores[0][1]
    names, several = zip(*channel, *stores, strict=True)
    return FirstOf(several, names, opening.warn)


def machine_has_store() -> bool:
    """Whether there is a store folder where the names of store paths say it is."""
    return _mode(MACHINE / STORE_DIR[1:]) is not None


def is_remote(place: str) -> bool:
    """Whether ``place`` is a URL, and so a binary cache."""
    return "://" in place


def is_cache_folder(place: str) -> bool:
    """Whether ``place`` is a folder that is a binary cache, such as an embedded store."""
    return not is_remote(place) and _mode(Path(place) / CACHE_INFO) is not None


_Named = tuple[str, Store]
"""A store, and what messages call it."""


class _Opening:
    def __init__(self, places: Sequence[str], access: Access) -> None:
        self._places = places
        self._access = access

    @property
    def warn(self) -> Callable[[str], object]:
        return self._access.warn

    def named(self) -> list[_Named]:
        stores: list[_Named] = []
        has_graph = False
        for place in self._places:
            store = self._open(place, after_graph=has_graph)
            has_graph = has_graph or isinstance(store, GraphStore)
            stores.append((shown_url(place) if is_remote(place) else place, store))
        if has_graph and machine_has_store():
            stores.append((str(MACHINE), Folder(MACHINE)))
        return stores

    def default(self) -> list[_Named]:
        access = self._access
        stores: list[_Named] = []
        if _mode(MACHINE / DATABASE) is not None:
            stores.append((str(MACHINE), LocalStore(MACHINE)))
        if access.embedded and is_cache_folder(str(access.embedded)):
            stores.append((str(access.embedded), self._cache_folder(access.embedded)))
        if access.channel:
            stores.append((DEFAULT_CACHE, self._substituting(DEFAULT_CACHE)))
        if not stores:
            raise Unavailable(
                "store: got none on this machine, expected a Nix store at / or an embedded one",
                hint=f"name one with --store: a binary cache such as {DEFAULT_CACHE}, a folder that holds nix/store, "
                "or a closure graph in JSON",
            )
        return stores

    def channel(self) -> list[_Named]:
        access = self._access
        if not access.channel:
            return []
        from lamina.stores.local.channel import open_channel
        from lamina.transports.opening import open_transport

        channel = open_channel(access.channel, open_transport, access.lists, offline=access.offline, now=access.now)
        for warning in channel.warnings:
            access.warn(warning)
        return [(f"channel {shown_url(access.channel)}", channel)]

    def _open(self, place: str, *, after_graph: bool) -> Store:
        if is_remote(place):
            return self._substituting(place)
        path = Path(place)
        mode = _mode(path)
        if mode is None:
            raise Unavailable(
                f"store {place}: got nothing there, expected a folder, a closure graph in JSON or the URL of a cache"
            )
        if not stat.S_ISDIR(mode):
            return GraphStore(path)
        if is_cache_folder(place):
            return self._cache_folder(path)
        folder = Folder(path)
        if _mode(path / DATABASE) is not None:
            return LocalStore(path)
        if after_graph:
            return folder
        raise Unavailable(
            f"store {place}: got no {DATABASE} in it, expected a Nix database",
            hint="name a closure graph before it, which says what refers to what: --store graph.json --store FOLDER",
        )

    def _cache_folder(self, folder: Path) -> EmbeddedStore:
        if folder == self._spool:
            return self._fetching.store
        from lamina.stores.embedded.store import EmbeddedStore

        return EmbeddedStore(folder)

    def _substituting(self, url: str) -> Store:
        from lamina.stores.binary_cache.cache import BinaryCache
        from lamina.stores.binary_cache.substituter import Substituting
        from lamina.stores.binary_cache.trust import Trust
        from lamina.transports.opening import checked_url, open_transport

        trust = self._access.trust() if self._access.trust else Trust()
        is_asked = not self._access.offline or url.startswith("file://")
        cache = BinaryCache(partial(open_transport, checked_url(url)), trust) if is_asked else None
        return Substituting(self._fetching, cache, trust)

    @cached_property
    def _spool(self) -> Path | None:
        """Where fetched paths are kept: the first cache folder that is named, else the embedded store."""
        if self._access.fetching:
            return self._access.embedded
        named = next((Path(place) for place in self._places if is_cache_folder(place)), None)
        return named or self._access.embedded

    @cached_property
    def _fetching(self) -> Fetching:
        from lamina.stores.binary_cache.fetch import Fetching
        from lamina.stores.embedded.store import EmbeddedStore
        from lamina.system.tempdir import Workspace

        if self._access.fetching:
            return self._access.fetching
        if self._spool:
            return Fetching(EmbeddedStore.made(self._spool))
        workspace = Workspace()
        return Fetching(EmbeddedStore.made(workspace.path / "store"), keep=workspace)


def _mode(path: Path) -> int | None:
    """The kind and mode of what is at ``path``, None where nothing is; raises `Unavailable` where nobody can tell."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a NUL in it
        return None
    except OSError as error:
        raise Unavailable(f"{path}: got {error.strerror}, expected to look at it") from error


def contents(folder: Path) -> Store:
    """The store whose contents are in ``folder``: files below ``nix/store``, or the NARs of a binary cache.

    Raises `Unavailable`.
    """
    if not os.path.isfile(folder / CACHE_INFO):
        return Folder(folder)
    from lamina.stores.embedded.store import EmbeddedStore

    return EmbeddedStore(folder)
