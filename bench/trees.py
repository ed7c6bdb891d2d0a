"""Generate closures to measure with: store paths on disk, and the closure graph that makes them valid.

Invariant: the same seed and sizes give the same names and the same bytes on every machine.

Each closure has one root, a program that refers to all other paths, as an application refers to its libraries.
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
# The start of a little-endian ELF file for x86-64: as much as lamina reads to find the architecture.
PROGRAM = b"\x7fELF\2\1\1".ljust(18, b"\0") + (62).to_bytes(2, "little")

Fill = Callable[[Path, Random], None]


@dataclass(frozen=True, slots=True)
class Tree:
    """A generated closure: ``folder`` contains ``nix/store``, and ``graph`` is the file that lists the paths."""

    root: StorePath
    graph: Path
    folder: Path


def generate_small_files(folder: Path, seed: int, count: int, size: int) -> Tree:
    """Generate about ``count`` files of ``size`` bytes on average in many store paths with folders and symlinks.

    Most files are shorter than the average. Most names are too long for a plain tar header, as in large closures.
    """

    def fill(start: int) -> Fill:
        files = min(_FILES_PER_PATH, count - start)
        return lambda path, random: _fill_with_small(path, random, files, size)

    return _closure(folder, seed, {f"library{start}": fill(start) for start in range(0, count, _FILES_PER_PATH)})


def generate_large_files(folder: Path, seed: int, count: int, size: int) -> Tree:
    """Generate ``count`` incompressible files of ``size`` bytes, each in a store path of its own."""

    def fill(path: Path, random: Random) -> None:
        path.mkdir()
        write_random(path / "data", random, size)

    return _closure(folder, seed, {f"large{number}": fill for number in range(count)})


def generate_one_file_in_many_paths(folder: Path, seed: int, count: int, size: int) -> Tree:
    """Generate ``count`` store paths with hard links to the same file of ``size`` bytes."""
    files: list[Path] = []

    def fill(path: Path, random: Random) -> None:
        path.mkdir()
        files.append(path / "data")
        if len(files) == 1:
            write_random(files[0], random, size)
        else:
            os.link(files[0], files[-1])

    return _closure(folder, seed, {f"huge{number}": fill for number in range(count)})


def generate_many_entries(folder: Path, seed: int, count: int) -> Tree:
    """Generate one store path of ``count`` files and folders; many of the files are hard links to each other."""

    def fill(path: Path, random: Random) -> None:
        path.mkdir()
        subfolder, file = path, path
        for number in range(count):
            if number % _ENTRIES_PER_FOLDER == 0:
                subfolder = path / f"share-{number}"
                subfolder.mkdir()
                continue
            link = subfolder / f"entry-of-a-layer-with-many-{number}"
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
    """Write ``size`` incompressible bytes."""
    with file.open("wb") as out:
        # In portions, because a program's peak memory starts at that of its parent process, and it is measured.
        for start in range(0, size, CHUNK):
            out.write(random.randbytes(min(CHUNK, size - start)))


def _closure(folder: Path, seed: int, contents: Mapping[str, Fill]) -> Tree:
    random = Random(seed)
    store = folder / STORE_DIR[1:]
    store.mkdir(parents=True)
    infos: list[PathInfo] = []
    for name, fill in contents.items():
        path = make_store_path(seed, name)
        fill(store / path.base, random)
        referenced = random.sample(infos, min(len(infos), 3))
        infos.append(make_path_info(store, path, frozenset(info.path for info in referenced)))
    root = make_store_path(seed, "bench-1.0")
    program = store / root.base / "bin" / "bench"
    program.parent.mkdir(parents=True)
    program.write_bytes(PROGRAM)
    program.chmod(0o755)
    infos.append(make_path_info(store, root, frozenset(info.path for info in infos)))
    graph = folder / "graph.json"
    write_graph(graph, infos)
    return Tree(root, graph, folder)


def make_store_path(seed: int, name: str) -> StorePath:
    """Return a store path of that name, whose hash depends on the seed and the name."""
    digits = dump_nix32(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:20])
    return StorePath.parse_base(f"{digits}-{name}")


def make_path_info(store: Path, path: StorePath, references: frozenset[StorePath]) -> PathInfo:
    """Return the path info of ``path`` in the folder ``store``, as Nix would register it."""
    archive = hash_pieces(nar.dump(walk(os.fsencode(store / path.base))))
    return PathInfo(path, archive.digest, archive.size, references)


def write_graph(file: Path, infos: Iterable[PathInfo]) -> None:
    """Write ``infos`` as a closure graph."""
    file.write_text(json.dumps(list(map(_item, infos)), indent=1))


def _item(info: PathInfo) -> dict[str, object]:
    """Return an entry of an exportReferencesGraph file, in the format of __structuredAttrs."""
    return {
        "path": str(info.path),
        "narHash": info.nar_hash.nix32,
        "narSize": info.nar_size,
        "references": sorted(map(str, info.references)),
    }
