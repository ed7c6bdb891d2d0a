"""Measure a repeated build after a small change: two closures, and an OCI layout that is kept between builds.

The two closures differ only in two store paths with the same names: the root, and a leaf that only the root refers to.
Before every repeated build, the layout and the layer cache are restored to their state after the first build.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.measuring import BenchError, Command
from bench.trees import PROGRAM, make_path_info, make_store_path, write_graph, write_random
from bench.workloads import PlannedWorkload, Workload

from lamina.core.names import STORE_DIR, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.stores.open import open_stores


@dataclass(frozen=True, slots=True)
class Change:
    """A closure before and after a change, and the size of the layers that differ, in bytes."""

    before: Workload
    after: Workload
    changed_size: int


def create_change(planned: PlannedWorkload, folder: Path, seed: int, leaf_size: int) -> Change:
    """Create two closures that contain that of ``planned``, each with its own root and a leaf of ``leaf_size`` bytes.

    Raises `BenchError`, and whatever opening a store raises.
    """
    paths = [StorePath.parse(path) for path in planned.paths]
    infos = tuple(open_stores(planned.work.stores).query(paths).values())
    before, after = (
        _make_changed(planned.work, infos, folder / name, Random(f"{name}:{seed}"), leaf_size)
        for name in ("before", "after")
    )
    old, new = PlannedWorkload.of(before).layers, PlannedWorkload.of(after).layers
    return Change(before, after, sum(size for paths, size in new.items() if paths not in old))


def _make_changed(work: Workload, infos: Iterable[PathInfo], folder: Path, random: Random, leaf_size: int) -> Workload:
    store = folder / STORE_DIR[1:]
    store.mkdir(parents=True)
    number = random.getrandbits(64)
    leaf, root = make_store_path(number, "leaf"), make_store_path(number, "application-1.0")
    (store / leaf.base).mkdir()
    write_random(store / leaf.base / "data", random, leaf_size)
    program = store / root.base / "bin" / "application"
    program.parent.mkdir(parents=True)
    program.write_bytes(PROGRAM + str(leaf).encode())
    program.chmod(0o755)
    new_infos = (
        make_path_info(store, leaf, frozenset()),
        make_path_info(store, root, frozenset({leaf, *(_find_roots(infos))})),
    )
    graph = folder / "graph.json"
    write_graph(graph, (*infos, *new_infos))
    # The graph lists the valid paths; their files are in the new folder, in the tree, or in this machine's store.
    stores = (str(graph), str(folder), *((work.folder,) if work.folder else ()))
    return Workload(work.kind, work.name, (str(root),), stores)


def _find_roots(infos: Iterable[PathInfo]) -> frozenset[StorePath]:
    """Return the paths that no other path refers to; all others can be reached from them."""
    referred = {path for info in infos for path in info.references if path != info.path}
    return frozenset(info.path for info in infos) - referred


@dataclass(frozen=True, slots=True)
class Layout:
    """An OCI layout in ``folder``, and the layer cache of the builds that write it."""

    folder: Path

    @property
    def image(self) -> Path:
        """The folder of the layout, without the layer cache."""
        return self.folder / "image"

    def build(self, work: Workload) -> Command:
        """Return the command that builds ``work`` into this layout."""
        layer_cache = self.folder / "layer-cache" / "layer-cache.sqlite"
        return work.lamina("build", "--layer-cache", str(layer_cache), "-o", f"{self.image}/")

    def clear(self) -> None:
        """Delete the layout and the layer cache."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "layer-cache").mkdir(parents=True)

    def manifests(self) -> frozenset[str]:
        """Return the digests of the images in the layout. Raises `BenchError`."""
        try:
            index = json.loads((self.image / "index.json").read_bytes())
            return frozenset(manifest["digest"] for manifest in index["manifests"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise BenchError(f"{self.image}: got {error!r}, expected an OCI layout") from error

    def make_restorer(self, copies: Path) -> Callable[[], None]:
        """Return a function that restores the current state from ``copies``; blobs never change and are not copied."""
        blobs = frozenset(file for file in self._files() if file.is_relative_to(self.image / "blobs"))
        others = {file: copies / file.relative_to(self.folder) for file in self._files() - blobs}
        for file, copy in others.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)

        def restore() -> None:
            files = self._files()
            if not blobs <= files:
                raise BenchError(f"{self.image}: got {len(blobs & files)} of its blobs, expected all {len(blobs)}")
            for file in files - blobs:
                file.unlink()
            for file, copy in others.items():
                shutil.copy2(copy, file)

        return restore

    def _files(self) -> frozenset[Path]:
        return frozenset(file for file in self.folder.rglob("*") if file.is_file())
