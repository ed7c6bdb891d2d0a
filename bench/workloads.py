"""The workloads that are measured: the closure from the arguments, and generated trees.

Every measured command is derived only from the workload, so that all commands pack the same store paths.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import ENVIRONMENT, BenchError, Command
from bench.targets import CLOSURE, HUGE_IMAGE, HUGE_LAYER
from bench.trees import Tree

from lamina.core.names import StorePath
from lamina.errors import InvalidArgument

LAMINA = str(Path(sys.executable).with_name("lamina"))


@dataclass(frozen=True, slots=True)
class Workload:
    """Store paths to pack: ``roots`` in ``stores``, on disk below ``folder``. The targets depend on the kind."""

    kind: str
    name: str
    roots: tuple[str, ...]
    stores: tuple[str, ...] = ()
    folder: str = ""

    @classmethod
    def from_roots(cls, roots: Sequence[str]) -> Workload:
        """Create a workload from ``roots`` in the machine's own store; its name is that of the first root."""
        name = Path(roots[0]).name
        with suppress(InvalidArgument):
            name = StorePath.parse_base(name).name
        return cls(CLOSURE, name, tuple(roots))

    @classmethod
    def from_tree(cls, kind: str, name: str, tree: Tree) -> Workload:
        """Create a workload from a generated tree."""
        return cls(kind, name, (str(tree.root),), (str(tree.graph), str(tree.folder)), str(tree.folder))

    @property
    def huge(self) -> bool:
        """Whether only the peak memory is measured, because the workload is too large to repeat."""
        return self.kind in {HUGE_IMAGE, HUGE_LAYER}

    def lamina(self, command: str, *options: str) -> Command:
        """Return the command line of ``lamina COMMAND`` for the roots, with an image name that is always the same."""
        store_options = (word for store in self.stores for word in ("--store", store))
        name = ("--name", "bench", "--tag", "latest")
        return (LAMINA, command, "--quiet", *options, *name, *store_options, "--", *self.roots)


@dataclass(frozen=True, slots=True)
class PlannedWorkload:
    """A workload and its layers, which are read from ``lamina plan --json``."""

    work: Workload
    document: Mapping[str, Any]

    @classmethod
    def of(cls, work: Workload) -> PlannedWorkload:
        """Plan the layers by running lamina. Raises `BenchError`."""
        ran = subprocess.run(work.lamina("plan", "--json"), stdout=subprocess.PIPE, env=ENVIRONMENT, check=False)
        if ran.returncode:
            raise BenchError(f"lamina plan: got exit code {ran.returncode}, expected 0")
        return cls(work, json.loads(ran.stdout))

    @property
    def layers(self) -> Mapping[tuple[str, ...], int]:
        """The paths of each layer, and their size in bytes."""
        return {tuple(layer["paths"]): layer["nar_size"] for layer in self.document["layers"]}

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, in packing order."""
        return tuple(path for paths in self.layers for path in paths)

    @property
    def size(self) -> int:
        """The NAR size of all paths, in bytes."""
        return sum(self.layers.values())

    def tar(self) -> Command:
        """Return the tar command that packs the same files."""
        return ("tar", "-cPf", "-", "--", *(self.work.folder + path for path in self.paths))
