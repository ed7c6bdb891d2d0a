"""Find the valid store paths for the paths that are mentioned in a text.

In a text, it is not clear where the name of a store path ends. In ``-javaagent:/nix/store/HASH-agent.jar=9404`` the
path is followed by ``=9404``, which could also be part of a name. The hash alone identifies a store path, so stores are
asked by hash where possible, as in Nix's scanner (E. Dolstra's thesis, section 5.5.1, "Scanning for dependencies").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from lamina.core.names import StorePath


def match_by_hash(mentions: Collection[StorePath], valid: Iterable[StorePath]) -> Mapping[StorePath, StorePath]:
    """Map each of ``mentions`` to the one of ``valid`` that has its hash."""
    by_hash = {path.hash: path for path in valid}
    return {path: by_hash[path.hash] for path in mentions if path.hash in by_hash}


def match_by_prefix(
    mentions: Collection[StorePath], query: Callable[[Collection[StorePath]], Collection[StorePath]]
) -> Mapping[StorePath, StorePath]:
    """Map each of ``mentions`` to its longest prefix that is valid; ``query`` returns the valid ones of some paths."""
    prefixes = {path: tuple(_list_prefixes(path)) for path in mentions}
    valid = query({prefix for candidates in prefixes.values() for prefix in candidates})
    longest = {path: next(filter(valid.__contains__, candidates), None) for path, candidates in prefixes.items()}
    return {path: prefix for path, prefix in longest.items() if prefix}


def _list_prefixes(path: StorePath) -> Iterator[StorePath]:
    """Yield every path that is a prefix of ``path``, the longest first."""
    shortest = len(path.base) - len(path.name) + 1
    return (StorePath(path.base[:end]) for end in range(len(path.base), shortest - 1, -1))
