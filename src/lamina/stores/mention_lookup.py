"""Find the valid store paths that the paths in a text mean.

A text does not say where the name of a store path ends. In ``-javaagent:/nix/store/HASH-agent.jar=9404`` the path is
followed by ``=9404``, which a name could contain too. The hash alone identifies a store path, so a store is asked by
hash where that is possible, as Nix's scanner does (E. Dolstra's thesis, section 5.5.1, "Scanning for dependencies").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from lamina.core.names import StorePath
from lamina.stores.protocols import PathIndex, Store


@runtime_checkable
class CanResolveMentions(Protocol):
    """A store with its own way of finding the paths in a text."""

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``mentions`` means, as the function `resolve_mentions` does."""


def resolve_mentions(store: Store, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
    """Find the valid path of ``store`` that each of ``mentions`` means.

    A store that cannot look up hashes is asked for every prefix of each name.

    Args:
        store: The store to search.
        mentions: Paths as they occur in a text, each with all following characters that could belong to its name.

    Returns:
        The valid paths by mention, without mentions that mean no path of the store.

    Raises:
        StoreError: The store cannot be read.
    """
    if not mentions:
        return {}
    if isinstance(store, CanResolveMentions):
        return store.resolve_mentions(mentions)
    if isinstance(store, PathIndex):
        return match_by_hash(mentions, store.with_hashes({path.hash for path in mentions}))
    return _match_by_prefix(store, mentions)


def match_by_hash(mentions: Collection[StorePath], valid: Iterable[StorePath]) -> Mapping[StorePath, StorePath]:
    """Map each of ``mentions`` to the one of ``valid`` that has its hash."""
    by_hash = {path.hash: path for path in valid}
    return {path: by_hash[path.hash] for path in mentions if path.hash in by_hash}


def _match_by_prefix(store: Store, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
    """Find the longest prefix of each path that is a valid path."""
    prefixes = {path: tuple(_list_prefixes(path)) for path in mentions}
    valid = store.query({prefix for candidates in prefixes.values() for prefix in candidates})
    longest = {path: next(filter(valid.__contains__, candidates), None) for path, candidates in prefixes.items()}
    return {path: prefix for path, prefix in longest.items() if prefix}


def _list_prefixes(path: StorePath) -> Iterator[StorePath]:
    """Yield every path that is a prefix of ``path``, the longest first."""
    shortest = len(path.base) - len(path.name) + 1
    return (StorePath(path.base[:end]) for end in range(len(path.base), shortest - 1, -1))
