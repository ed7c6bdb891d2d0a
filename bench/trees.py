"""Seeded closures to measure with: store paths on disk and the graph that vouches for them.

Invariant: the same seed and sizes give the same names and the same bytes, on every machine.

A closure has one root, a program that refers to all the rest, as an application does to its libraries.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lamina.core.names import STORE_DIR, StorePath, dump_nix32
from lamina.core.pathinfo import PathInfo
from lamina.formats import nar
from lamina.system.transfer import hash_pieces
from lamina.system.walk import walk

CHUNK = 1 << 20
_FILES_PER_PATH = 250
_FILES_PER_FOLDER = 25
_ENTRIES_PER_FOLDER = 500
_LINKS_PER_FILE = 10_000
# Little-endian ELF for x86-64, as far as the processor is looked for.
PROGRAM = b"\x7fELF\2\1\1".ljust(18, b"\0") + (62).to_bytes(2, "little")

Fill = Callable[[Path, Random], None]


@dataclass(frozen=True, slots=True)
class Tree:
    """A closure: ``folder`` holds ``nix/store``, ``graph`` is the file that lists the paths."""

    root: StorePath
    graph: Path
    folder: Path


def small_files(folder: Path, seed: int, count: int, size: int) -> Tree:
    """About ``count`` files of ``size`` bytes on average, mostly shorter, in many store paths with folders and
    symlinks; most names are too long for a plain tar header, as they are in large closures.
    """

    def fill(start: int) -> Fill:
        files = min(_FILES_PER_PATH, count - start)
        return lambda path, random: _fill_with_small(path, random, files, size)

    return _closure(folder, seed, {f"library{start}": fill(start) for start in range(0, count, _FILES_PER_PATH)})


def large_files(folder: Path, seed: int, count: int, size: int) -> Tree:
    """``count`` files of ``size`` bytes that nothing compresses, each in a store path of its own."""

    def fill(path: Path, random: Random) -> None:
        path.mkdir()
        write_random(path / "data", random, size)

    return _closure(folder, seed, {f"large{number}": fill for number in range(count)})


def one_file_in_many_paths(folder: Path, seed: int, count: int, size: int) -> Tree:
    """``count`` store paths with the same ``size`` bytes in each, which lie on disk once."""
    files: list[Path] = []

    def fill(path: Path, random: Random) -> None:
        path.mkdir()
        files.append(path / "data")
        if len(files) == 1:
            write_random(files[0], random, size)
        else:
            os.link(files[0], files[-1])

    return _closure(folder, seed, {f"huge{number}": fill for number in range(count)})


def many_entries(folder: Path, seed: int, count: int) -> Tree:
    """One store path of ``count`` files and folders, many of which are one file on disk."""

    def fill(path: Path, random: Random) -> None:
        path.mkdir()
        place, file = path, path
        for number in range(count):
            if number % _ENTRIES_PER_FOLDER == 0:
                place = path / f"share-{number}"
                place.mkdir()
                continue
            link = place / f"entry-of-a-layer-with-many-{number}"
            if number % _LINKS_PER_FILE == 1:
                file = link
                write_random(file, random, 100)
            else:
                os.link(file, link)

    return _closure(folder, seed, {"many": fill})


def _fill_with_small(path: Path, random: Random, files: int, size: int) -> None:
    for number in range(files):
        folder = path / "share" / "modules" / f"part-{number // _FILES_PER_FOLDER}"
        if number % _FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        file = folder / f"implementation-of-module-{number}.py"
        share = random.random()
        write_random(file, random, int(4 * size * share * share * share))
        if number % 10 == 0:
            file.chmod(0o755)
            (folder / f"module-{number}").symlink_to(file.name)


def write_random(file: Path, random: Random, size: int) -> None:
    """Writes ``size`` bytes that nothing compresses."""
    with file.open("wb") as out:
        # In portions: a program begins with the peak memory of who starts it, and that is measured.
        for start in range(0, size, CHUNK):
            out.write(random.randbytes(min(CHUNK, size - start)))


def _closure(folder: Path, seed: int, contents: Mapping[str, Fill]) -> Tree:
    random = Random(seed)
    store = folder / STORE_DIR[1:]
    store.mkdir(parents=True)
    infos: list[PathInfo] = []
    for name, fill in contents.items():
        path = store_path(seed, name)
        fill(store / path.base, random)
        few = random.sample(infos, min(len(infos), 3))
        infos.append(path_info(store, path, frozenset(info.path for info in few)))
    root = store_path(seed, "bench-1.0")
    program = store / root.base / "bin" / "bench"
    program.parent.mkdir(parents=True)
    program.write_bytes(PROGRAM)
    program.chmod(0o755)
    infos.append(path_info(store, root, frozenset(info.path for info in infos)))
    graph = folder / "graph.json"
    write_graph(graph, infos)
    return Tree(root, graph, folder)


def store_path(seed: int, name: str) -> StorePath:
    """The path of that name; another seed gives another hash."""
    digits = dump_nix32(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:20])
    return StorePath.parse_base(f"{digits}-{name}")


def path_info(store: Path, path: StorePath, references: frozenset[StorePath]) -> PathInfo:
    """What is on disk at ``path`` in the folder ``store``, as Nix would register it."""
    archive = hash_pieces(nar.dump(walk(os.fsencode(store / path.base))))
    return PathInfo(path, archive.digest, archive.size, references)


def write_graph(file: Path, infos: Iterable[PathInfo]) -> None:
    """Writes ``infos`` as a closure graph."""
    file.write_text(json.dumps(list(map(_item, infos)), indent=1))


def _item(info: PathInfo) -> dict[str, object]:
    """As in an exportReferencesGraph under __structuredAttrs."""
    return {
        "path": str(info.path),
        "narHash": info.nar_hash.nix32,
        "narSize": info.nar_size,
        "references": sorted(map(str, info.references)),
    }
