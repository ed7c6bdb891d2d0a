"""Embedded stores that contain the example: fill, check and list them, and kill lamina while it works on one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tests.support.paths import EXAMPLES

import lamina
from lamina.compression.decoders import decode_pieces
from lamina.core.names import Digest, StorePath
from lamina.formats import narinfo
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.system.transfer import hash_pieces

KEY = (EXAMPLES / "public-key").read_text().strip()
ROOT = json.loads((EXAMPLES / "roots.json").read_text())["x86_64-linux"]
HELLO = StorePath.parse(ROOT)
CLOSURE = 6
# Kills the process instead of the next os.replace or os.unlink, after a given number of them. These are the two steps
# of lamina that other processes can see.
_KILLED = """\
import os, signal, sys
left = int(sys.argv.pop(1))
def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
os.replace, os.unlink = counted(os.replace), counted(os.unlink)
from lamina.cli.main import main
main()
"""


def check(folder: Path) -> set[str]:
    """Check that each path has the NAR that its narinfo describes and valid references; return the paths."""
    if not folder.exists():  # no path was stored, so the folder was not created
        return set()
    store = EmbeddedStore(folder)
    found = {known.info.path: known for known in store.narinfos()}
    for path, known in found.items():
        location = store.location(path)
        assert hash_pieces([location]).digest == known.info.nar_hash
        assert (known.url, known.compression, known.file_size) == (
            nar_name(known.info.nar_hash),
            "none",
            location.length,
        )
        assert known.info.references <= found.keys()
    return set(map(str, found))


def fetch_example(folder: Path) -> EmbeddedStore:
    """Fetch the example to an embedded store in ``folder``, and return the store."""
    lamina.fetch_paths([ROOT], embedded_store=folder, store=f"file://{EXAMPLES}/cache", trusted_keys=KEY)
    return EmbeddedStore(folder)


def narinfos_by_package(folder: Path) -> dict[str, NarInfo]:
    """Return the narinfos of a store by package name, which is different for each path of the example."""
    return {known.info.path.package: known for known in EmbeddedStore(folder).narinfos()}


def run_and_kill(steps: int, *arguments: str | Path, stdin: Path | None = None) -> bool:
    """Run lamina, and kill it after it has renamed or removed ``steps`` files; return whether it was killed."""
    command = [sys.executable, "-c", _KILLED, str(steps), *map(str, arguments)]
    with open(stdin or os.devnull, "rb") as source:
        done = subprocess.run(command, stdin=source, capture_output=True, timeout=240, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


def check_cache(folder: Path) -> dict[StorePath, NarInfo]:
    """Check that a binary cache has every file that its narinfos describe, and return its narinfos by path."""
    infos = {file.name: narinfo.parse(file.read_text()) for file in folder.glob("*.narinfo")}
    found = {known.info.path: known for known in infos.values()}
    for name, known in infos.items():
        file = (folder / known.url).read_bytes()
        data = b"".join(decode_pieces([file], known.compression))
        assert name == f"{known.info.path.hash}.narinfo"
        assert (Digest(sha256(data).digest()), len(data)) == (known.info.nar_hash, known.info.nar_size)
        assert (Digest(sha256(file).digest()), len(file)) == (known.file_hash, known.file_size)
        assert known.info.references <= found.keys()
    return found
