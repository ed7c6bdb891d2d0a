"""Unpacks the closure of the example into a folder with ``nix/store``, and writes its graph beside it.

usage: unpack_cache.py SYSTEM FOLDER     (SYSTEM: x86_64-linux or aarch64-linux)

Prints the root's store path. ``lamina … --store FOLDER/graph.json --store FOLDER`` then finds everything.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import sys
from pathlib import Path

from lamina.formats import nar, narinfo
from lamina.formats.narinfo import NarInfo
from lamina.names import STORE_DIR, Digest, StorePath
from lamina.nodes import Directory, Node, Regular, Symlink

EXAMPLES = Path(__file__).resolve().parent
CACHE = EXAMPLES / "cache"


def main() -> None:
    """Unpacks what the command line names."""
    system, folder = sys.argv[1], Path(sys.argv[2])
    root = StorePath.parse(json.loads((EXAMPLES / "roots.json").read_text())[system])
    infos = closure(root)
    for info in infos:
        unpack(info, folder / STORE_DIR[1:])
    (folder / "graph.json").write_text(json.dumps([as_json(info) for info in infos], indent=1))
    print(root)


def closure(root: StorePath) -> list[NarInfo]:
    """The narinfos of ``root`` and all that it needs."""
    found: dict[StorePath, NarInfo] = {}
    wanted = [root]
    while wanted:
        path = wanted.pop()
        if path not in found:
            found[path] = narinfo.parse((CACHE / f"{path.hash}.narinfo").read_text())
            wanted += sorted(found[path].info.references)
    return list(found.values())


def unpack(found: NarInfo, store: Path) -> None:
    """Writes the path of ``found`` below ``store``, once its NAR is what the narinfo says."""
    data = lzma.decompress((CACHE / found.url).read_bytes())
    digest = Digest(hashlib.sha256(data).digest())
    if (digest, len(data)) != (found.info.nar_hash, found.info.nar_size):
        raise SystemExit(f"{found.url}: got {digest}, expected {found.info.nar_hash}")
    store.mkdir(parents=True, exist_ok=True)
    top = os.fsencode(store / found.info.path.base)
    for node in nar.parse_bytes(data):
        write(node, top + b"/" + node.path if node.path else top)


def write(node: Node, place: bytes) -> None:
    """Makes ``node`` at ``place``."""
    match node:
        case Directory():
            os.mkdir(place)
        case Symlink():
            os.symlink(node.target, place)
        case Regular(content=bytes(content)):
            with open(place, "wb") as file:
                file.write(content)
            os.chmod(place, 0o555 if node.executable else 0o444)


def as_json(found: NarInfo) -> dict[str, object]:
    """A path as ``nix path-info --json`` shows it."""
    info = found.info
    return {
        "path": str(info.path),
        "narHash": info.nar_hash.sri,
        "narSize": info.nar_size,
        "references": [str(reference) for reference in sorted(info.references)],
    }


if __name__ == "__main__":
    main()
