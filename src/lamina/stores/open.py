"""Open the stores that a user names with ``--store``.

Opening a store sends no request, except for the list of a channel. A binary cache is first accessed by a query.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.callbacks import ignore
from lamina.core.names import STORE_DIR
from lamina.errors import Unavailable
from lamina.formats.cache_info import FILE_NAME as CACHE_INFO
from lamina.stores.chained import ChainedStore
from lamina.stores.local.database import DATABASE, LocalStore
from lamina.stores.local.folder import FolderStore
from lamina.stores.local.graph import GraphStore
from lamina.stores.store import Store
from lamina.transports.urls import redact_url

if TYPE_CHECKING:  # imported when a binary cache or embedded store is opened; most stores are on this machine
    from lamina.stores.binary_cache.fetch import Fetcher
    from lamina.stores.binary_cache.trust import Trust
    from lamina.stores.embedded.store import EmbeddedStore

# The folder that contains this machine's nix/store.
MACHINE = Path("/")
DEFAULT_CACHE = "https://cache.nixos.org"


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """Settings for binary caches and channels.

    ``embedded_store`` is the folder that keeps fetched paths, None for a temporary one; ``trust`` returns the trust
    settings of the caches, None for the default; ``channel`` is where names are looked up first; ``channel_lists`` is
    the folder that caches the lists of channels; ``offline`` forbids requests; ``fetcher`` is used instead of a new one
    if it already fetches into ``embedded_store``; without ``keeps_downloads``, fetched paths go to a temporary folder
    and nothing is written to a store; ``now`` is the time in seconds since 1970; ``warn`` is called with each warning.
    Closing ``resources`` closes the stores that were opened.
    """

    embedded_store: Path | None = None
    trust: Callable[[], Trust] | None = None
    channel: str | None = None
    channel_lists: Path | None = None
    offline: bool = False
    fetcher: Fetcher | None = None
    keeps_downloads: bool = True
    now: float = 0
    warn: Callable[[str], object] = field(default=ignore)
    resources: ExitStack = field(default_factory=ExitStack)


def open_stores(locations: Sequence[str], access: StoreAccess | None = None) -> ChainedStore:
    """Open the stores at ``locations`` as one store that asks them in order.

    Without locations, these are the machine's own store, then the embedded one. If a closure graph is named, contents
    are also looked for in the machine's own store.

    Raises:
        InvalidArgument: A location cannot be a store.
        Unavailable: A store cannot be read, or there is none.
        FormatError: A closure graph is invalid.
    """
    access = access or StoreAccess()
    opener = _StoreOpener(locations, access)
    stores = opener.open_named() if locations else opener.open_default()
    channel = opener.open_channels()
    names, opened = zip(*channel, *stores, strict=True)
    return ChainedStore(opened, names, access.warn)


def machine_has_store() -> bool:
    """Return whether this machine has the folder of the store, ``/nix/store``."""
    return _read_mode(MACHINE / STORE_DIR[1:]) is not None


def is_remote(location: str) -> bool:
    """Return whether ``location`` is a URL, and so a binary cache."""
    return "://" in location


def is_cache_folder(location: str) -> bool:
    """Return whether ``location`` is a folder that is a binary cache, such as an embedded store."""
    return not is_remote(location) and _read_mode(Path(location) / CACHE_INFO) is not None


_NamedStore = tuple[str, Store]
"""The name of a store in messages, and the store."""


class _StoreOpener:
    """Opens the stores of one command, which share a fetcher."""

    def __init__(self, locations: Sequence[str], access: StoreAccess) -> None:
        self._locations = locations
        self._access = access

    def open_named(self) -> list[_NamedStore]:
        stores: list[_NamedStore] = []
        has_graph = False
        for location in self._locations:
            store = self._open(location, after_graph=has_graph)
            has_graph = has_graph or not store.has_contents
            stores.append((redact_url(location) if is_remote(location) else location, store))
        if has_graph and machine_has_store():
            stores.append((str(MACHINE), FolderStore(MACHINE)))
        return stores

    def open_default(self) -> list[_NamedStore]:
        access = self._access
        stores: list[_NamedStore] = []
        if _read_mode(MACHINE / DATABASE) is not None:
            stores.append((str(MACHINE), LocalStore(MACHINE)))
        if access.embedded_store and is_cache_folder(str(access.embedded_store)):
            stores.append((str(access.embedded_store), self._open_cache_folder(access.embedded_store)))
        if access.channel:
            stores.append((DEFAULT_CACHE, self._open_cache(DEFAULT_CACHE)))
        if not stores:
            raise Unavailable(
                "store",
                "none on this machine",
                "a Nix store at / or an embedded one",
                hint=f"name one with --store: a binary cache such as {DEFAULT_CACHE}, a folder that holds nix/store, "
                "or a closure graph in JSON",
            )
        return stores

    def open_channels(self) -> list[_NamedStore]:
        access = self._access
        if not access.channel:
            return []
        from lamina.stores.local.channel import open_channel
        from lamina.transports.open import open_transport

        channel = open_channel(
            access.channel, open_transport, access.channel_lists, offline=access.offline, now=access.now
        )
        for warning in channel.warnings:
            access.warn(warning)
        return [(f"channel {redact_url(access.channel)}", channel)]

    def _open(self, location: str, *, after_graph: bool) -> Store:
        if is_remote(location):
            return self._open_cache(location)
        path = Path(location)
        mode = _read_mode(path)
        if mode is None:
            from lamina.stores.unknown_locations import make_missing_error

            raise make_missing_error(location)
        if not stat.S_ISDIR(mode):
            return GraphStore(path)
        if is_cache_folder(location):
            return self._open_cache_folder(path)
        folder = FolderStore(path)
        if _read_mode(path / DATABASE) is not None:
            return LocalStore(path)
        if after_graph:
            return folder
        raise Unavailable(
            f"store {location}",
            f"no {DATABASE} in it",
            "a Nix database",
            hint="name a closure graph before it, which says what refers to what: --store graph.json --store FOLDER",
        )

    def _open_cache_folder(self, folder: Path) -> EmbeddedStore:
        if folder == self._download_folder:
            return self._fetcher.store
        from lamina.stores.embedded.store import EmbeddedStore

        return self._access.resources.enter_context(EmbeddedStore(folder))

    def _open_cache(self, url: str) -> Store:
        from lamina.stores.binary_cache.cache import BinaryCache
        from lamina.stores.binary_cache.substituter import SubstitutingStore
        from lamina.stores.binary_cache.trust import Trust
        from lamina.stores.unknown_locations import find_nix_store_error
        from lamina.transports.open import check_url, open_transport

        if error := find_nix_store_error(url):
            raise error
        trust = self._access.trust() if self._access.trust else Trust()
        may_query = not self._access.offline or url.startswith("file://")
        if not may_query:
            return SubstitutingStore(self._fetcher, None, trust)
        cache = BinaryCache(partial(open_transport, check_url(url)), trust)
        return SubstitutingStore(self._fetcher, self._access.resources.enter_context(closing(cache)), trust)

    @cached_property
    def _download_folder(self) -> Path | None:
        """The folder that keeps fetched paths: the first cache folder that is named, else the embedded store."""
        if self._access.fetcher:
            return self._access.embedded_store
        if not self._access.keeps_downloads:
            return None
        named = next((Path(location) for location in self._locations if is_cache_folder(location)), None)
        return named or self._access.embedded_store

    @cached_property
    def _fetcher(self) -> Fetcher:
        from lamina.stores.binary_cache.fetch import Fetcher
        from lamina.stores.embedded.store import EmbeddedStore
        from lamina.system.tempdir import TempDir

        if self._access.fetcher:
            return self._access.fetcher
        enter = self._access.resources.enter_context
        workspace, folder = None, self._download_folder
        if folder is None:
            workspace = enter(TempDir())
            folder = workspace.path / "store"
        store = enter(EmbeddedStore.open_or_create(folder))
        return enter(closing(Fetcher(store, workspace=workspace)))


def _read_mode(path: Path) -> int | None:
    """Return the ``st_mode`` of ``path``, None if nothing is there; raises `Unavailable` for other errors."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: the path contains a NUL
        return None
    except OSError as error:
        raise Unavailable(path, error, "to look at it") from error


def open_contents(folder: Path) -> Store:
    """Open the store whose contents are in ``folder``: files below ``nix/store``, or the NARs of a binary cache.

    Raises `Unavailable`.
    """
    if not os.path.isfile(folder / CACHE_INFO):
        return FolderStore(folder)
    from lamina.stores.embedded.store import EmbeddedStore

    return EmbeddedStore(folder)
