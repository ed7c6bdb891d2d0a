"""Closures as small files: a name, a size and the references of each path.

A file is JSON with one path on each line: ``[name, size in bytes, rows of its references]``. A path comes after all
that it refers to, so the last one is the application. The hashes of the store paths are made of their names: they have
no influence on a plan. A file may also be a closure graph in one of the formats of Nix.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamina.core.closure import Closure
from lamina.core.names import Digest, StorePath, dump_nix32
from lamina.core.pathinfo import PathInfo
from lamina.formats import closure_graph

FOLDER = Path(__file__).parent.parent / "closures"
HISTORIES = FOLDER.with_name("histories")


@dataclass(frozen=True, slots=True)
class Row:
    """A path of a closure; ``references`` are the numbers of earlier rows."""

    name: str
    size: int
    references: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NamedClosure:
    """A closure with the name of its file; ``numbers`` has the path number of each row of the file."""

    name: str
    closure: Closure
    numbers: Sequence[int]


def dump(made: str, rows: Sequence[Row]) -> str:
    """Return the text of a file; ``made`` says where the closure is from."""
    lines = ",\n".join(json.dumps([row.name, row.size, row.references], separators=(",", ":")) for row in rows)
    return f'{{"made": {json.dumps(made)}, "paths": [\n{lines}\n]}}\n'


def parse(text: str) -> tuple[Row, ...]:
    """Return the rows of a file."""
    return tuple(Row(name, size, tuple(references)) for name, size, references in json.loads(text)["paths"])


def read_closures(places: Iterable[Path]) -> list[NamedClosure]:
    """Read closures from files, and from all JSON files of folders; those with the fewest paths first."""
    files = [file for place in places for file in (place.glob("*.json") if place.is_dir() else [place])]
    return sorted(map(_read_closure, files), key=lambda named: (len(named.closure), named.name))


def _read_closure(file: Path) -> NamedClosure:
    text = file.read_text()
    document = json.loads(text)
    if not (isinstance(document, dict) and isinstance(document.get("paths"), list)):
        closure = Closure.of(closure_graph.parse(text))
        if not len(closure):
            raise ValueError(f"{file}: got no store paths, expected at least one")
        return NamedClosure(file.stem, closure, closure.order)
    infos = make_infos(parse(text))
    closure = Closure.of(infos)
    return NamedClosure(file.stem, closure, [closure.numbers[info.path] for info in infos])


def make_infos(rows: Sequence[Row]) -> list[PathInfo]:
    """Return the path info of each row; no two closures have a path in common."""
    return _make_infos(rows, [f"{number} {row.name}" for number, row in enumerate(rows)])


def make_equal_infos(rows: Sequence[Row]) -> list[PathInfo]:
    """Return the path info of each row; rows that are equal, with all that they refer to, are the same path."""
    texts: list[str] = []
    for row in rows:
        references = sorted(hashlib.sha256(texts[target].encode()).hexdigest() for target in row.references)
        texts.append(f"{row.name} {row.size} {' '.join(references)}")
    return _make_infos(rows, texts)


def _make_infos(rows: Sequence[Row], texts: Sequence[str]) -> list[PathInfo]:
    """Return the path info of each row, with a hash that is made of its text."""
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    paths = [
        StorePath.parse_base(f"{dump_nix32(digest[:20])}-{row.name}") for row, digest in zip(rows, digests, strict=True)
    ]
    return [
        PathInfo(path, Digest(digest), row.size, frozenset(paths[target] for target in row.references))
        for row, path, digest in zip(rows, paths, digests, strict=True)
    ]
