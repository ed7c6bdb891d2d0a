"""What is measured: the closure that was asked for, and trees made for it.

Invariant: a work is whole by itself: every command that is measured is made from it alone, so that all of them pack
the same store paths.
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
        """What the machine's own store has at ``roots``; the first names it, without its hash."""
        name = Path(roots[0]).name
        with suppress(InvalidArgument):
            name = StorePath.parse_base(name).name
        return cls(CLOSURE, name, tuple(roots))

    @classmethod
    def from_tree(cls, kind: str, name: str, tree: Tree) -> Workload:
        """What a tree of ours holds."""
        return cls(kind, name, (str(tree.root),), (str(tree.graph), str(tree.folder)), str(tree.folder))

    @property
    def huge(self) -> bool:
        """Whether it is too large for anything but its memory to be measured."""
        return self.kind in {HUGE_IMAGE, HUGE_LAYER}

    def lamina(self, verb: str, *options: str) -> Command:
        """The command that does ``verb`` with the roots, under a name that does not depend on them."""
        places = (word for store in self.stores for word in ("--store", store))
        name = ("--name", "bench", "--tag", "latest")
        return (LAMINA, verb, "--quiet", *options, *name, *places, "--", *self.roots)


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """A work and the layers that lamina makes of it, as ``lamina plan --json`` says it."""

    work: Workload
    document: Mapping[str, Any]

    @classmethod
    def of(cls, work: Workload) -> PlannedWork:
        """Asks lamina; raises `BenchError`."""
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
        """All paths, in the order in which they are packed."""
        return tuple(path for paths in self.layers for path in paths)

    @property
    def size(self) -> int:
        """What all of them hold, in bytes."""
        return sum(self.layers.values())

    def tar(self) -> Command:
        """The tar that packs the same files."""
        return ("tar", "-cPf", "-", "--", *(self.work.folder + path for path in self.paths))
