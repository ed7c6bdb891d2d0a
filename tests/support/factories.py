"""Constructors of values for tests: store paths, closures, trees, a store in memory, and random ones of each.

The same arguments give the same values on every machine.
"""

import hashlib
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

from hypothesis import strategies as st

from lamina.core.closure import Closure
from lamina.core.names import NIX32, Digest, StorePath, dump_nix32
from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.core.pathinfo import PathInfo
from lamina.layering import LayerPlan
from lamina.layers.packed import PackedLayer
from lamina.stores.store import Store
from lamina.system.transfer import transfer

# --- graphs


@cache
def path(name: str) -> StorePath:
    """Return a store path named ``name``; those of single letters sort like the letters, as digits of NIX32 do."""
    if len(name) == 1 and "A" <= name <= "Z":
        return StorePath.parse_base(f"{NIX32[ord(name) - ord('A')] * 32}-{name}")
    return StorePath.parse_base(f"{dump_nix32(hashlib.sha256(name.encode()).digest()[:20])}-{name}")


def info(name: str, references: Iterable[str] = (), size: int = 1) -> PathInfo:
    """Return the path info of `path(name)`."""
    digest = Digest(hashlib.sha256(name.encode()).digest())
    return PathInfo(path(name), digest, size, frozenset(map(path, references)))


def infos(graph: str, **sizes: int) -> tuple[PathInfo, ...]:
    """Parse a graph such as ``A→B,C  B→C``; the NAR of a path has one byte unless ``sizes`` gives another size."""
    references: dict[str, list[str]] = {}
    for arrow in graph.split():
        referrer, _, targets = arrow.partition("→")
        references.setdefault(referrer, []).extend(filter(None, targets.split(",")))
    for target in [name for targets in references.values() for name in targets]:
        references.setdefault(target, [])
    return tuple(info(name, targets, sizes.get(name, 1)) for name, targets in references.items())


def closure(graph: str, **sizes: int) -> Closure:
    """Return the closure of `infos`."""
    return Closure.of(infos(graph, **sizes))


def layers(plans: Iterable[LayerPlan]) -> list[str]:
    """Return the names in each layer, in packing order: ``["A B", "C"]``."""
    return [" ".join(path.name for path in plan.paths) for plan in plans]


# --- trees


@dataclass(frozen=True)
class File:
    """A file of a tree."""

    content: bytes = b""
    executable: bool = False


@dataclass(frozen=True)
class Link:
    """A symlink of a tree."""

    target: bytes


Item = File | Link | Mapping[bytes, "Item"]


def nodes(item: Item, at: bytes = b"") -> tuple[Node, ...]:
    """Return the nodes of a tree, in NAR order."""
    return tuple(_nodes(item, at))


def _nodes(item: Item, at: bytes) -> Iterator[Node]:
    match item:
        case File():
            yield Regular(at, item.executable, len(item.content), item.content)
        case Link():
            yield Symlink(at, item.target)
        case _:
            yield Directory(at)
            for name in sorted(item):
                yield from _nodes(item[name], at + b"/" + name if at else name)


def write(item: Item, location: bytes) -> None:
    """Write a tree to ``location`` on disk, with the modes that a Nix store has."""
    match item:
        case File():
            with open(location, "xb") as file:
                file.write(item.content)
            os.chmod(location, 0o555 if item.executable else 0o444)
        case Link():
            os.symlink(item.target, location)
        case _:
            os.mkdir(location)
            for name in item:
                write(item[name], location + b"/" + name)
            os.chmod(location, 0o555)


class MemoryStore(Store):
    """A store in memory; ``asked`` records the paths of each query."""

    def __init__(self, infos: Iterable[PathInfo] = (), trees: Mapping[StorePath, Item] | None = None) -> None:
        self._infos = {info.path: info for info in infos}
        self._trees = trees or {}
        self.asked: list[set[StorePath]] = []

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        self.asked.append(set(paths))
        return {path: self._infos[path] for path in paths if path in self._infos}

    def nodes(self, path: StorePath) -> Sequence[Node]:
        return nodes(self._trees[path])


def packed_bytes(packed: PackedLayer) -> bytes:
    """Return the bytes of a layer."""
    archive = io.BytesIO()
    transfer(packed.pieces, archive.write)
    return archive.getvalue()


# --- hypothesis strategies


def entry_names() -> st.SearchStrategy[bytes]:
    """Generate file names of any bytes, UTF-8 or not, without ``.``, ``..`` and the names of whiteouts."""
    names = st.one_of(
        st.text("ab.-é☃\U0001f600\ue000", min_size=1, max_size=4).map(str.encode),
        st.binary(min_size=1, max_size=4),
        st.integers(95, 110).map(lambda length: b"n" * length),
    )
    return names.filter(
        lambda name: name not in (b".", b"..") and not set(name) & {0, ord("/")} and not name.startswith(b".wh.")
    )


def files() -> st.SearchStrategy[File]:
    contents = st.one_of(st.binary(max_size=20), st.integers(500, 520).map(lambda size: b"x" * size))
    return st.builds(File, contents, st.booleans())


def links() -> st.SearchStrategy[Link]:
    targets = st.one_of(
        entry_names(), st.integers(98, 102).map(lambda length: b"../" * (length // 3) + b"n" * (length % 3))
    )
    return st.builds(Link, targets)


def folders() -> st.SearchStrategy[Mapping[bytes, Item]]:
    """Generate trees whose root is a folder."""
    leaves = st.one_of(files(), links())
    return st.dictionaries(
        entry_names(),
        cast(
            "st.SearchStrategy[Item]",
            st.recursive(leaves, lambda items: st.dictionaries(entry_names(), items, max_size=3), max_leaves=12),
        ),
        max_size=4,
    )


def trees() -> st.SearchStrategy[Item]:
    """Generate trees of every kind that a store path can be."""
    return st.one_of(folders(), files(), links())


@st.composite
def graphs(draw: st.DrawFn, most: int = 12) -> tuple[PathInfo, ...]:
    """Generate acyclic graphs with few different sizes, so that many are equal; some paths refer to themselves."""
    count = draw(st.integers(0, most))
    names = draw(st.permutations([chr(ord("A") + number) for number in range(count)]))
    found = []
    for number, name in enumerate(names):
        references = draw(st.sets(st.sampled_from(names[: number + 1]), max_size=4))
        found.append(info(name, references, draw(st.sampled_from([1, 2, 5, 5, 100]))))
    return tuple(found)
