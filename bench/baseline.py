"""A streamer that works as nixpkgs' does, to measure against: what is read and packed twice.

Invariant: nothing of lamina, and nothing that nixpkgs' would not do: two passes over every layer, `pathlib` to find
and sort, `tarfile` to pack, a pipe and a thread between.

    python bench/baseline.py PLAN [FOLDER] > image.tar

PLAN is what ``lamina plan --json`` printed; FOLDER is what stands for /, where the store is looked for.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

OWNER: Mapping[str, Any] = {"uid": "0", "gid": "0", "uname": "root", "gname": "root"}
MTIME = 1
_CREATED = "1970-01-01T00:00:01+00:00"


class HashingFile:
    """Counts and hashes what is written to it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return len(data)


def write_store_layer(paths: Iterable[str], conf: Mapping[str, Any], mtime: int, folder: Path, out: Any) -> None:
    """The layer of ``paths``: /nix/ and /nix/store/, then each path and all below it by components."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:

        def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime = mtime
            member.uid, member.gid = int(conf["uid"]), int(conf["gid"])
            member.uname, member.gname = conf["uname"], conf["gname"]
            return member

        for name in ("/nix", "/nix/store"):
            member = owned(tarfile.TarInfo(name))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for path in paths:
            top = folder / path.lstrip("/")
            for place in [top] if top.is_symlink() else sorted([top, *top.rglob("*")]):
                member = owned(archive.gettarinfo(str(place)))
                member.name = path + str(place)[len(str(top)) :]
                if member.islnk():
                    member.type, member.linkname, member.size = tarfile.REGTYPE, "", place.stat().st_size
                if member.isreg():
                    with place.open("rb") as file:
                        archive.addfile(member, file)
                else:
                    archive.addfile(member)


def add_layer(archive: tarfile.TarFile, write: Callable[[Any], None], mtime: int) -> str:
    """Packs a layer twice: to know its digest and size, and to have its bytes; gives the digest."""
    first = HashingFile()
    write(first)
    digest = first.hash.hexdigest()
    member = tarfile.TarInfo(f"{digest}/layer.tar")
    member.size, member.mtime = first.size, mtime
    outlet, inlet = os.pipe()

    def pack() -> None:
        with open(inlet, "wb") as pipe:
            write(pipe)

    packing = threading.Thread(target=pack)
    packing.start()
    with open(outlet, "rb") as pipe:
        archive.addfile(member, pipe)
    packing.join()
    return digest


def add_bytes(archive: tarfile.TarFile, name: str, data: bytes, mtime: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(data), mtime
    archive.addfile(member, io.BytesIO(data))


def stream(plan: Mapping[str, Any], out: IO[bytes], folder: Path = Path("/")) -> tuple[str, ...]:
    """Writes an image of the layers that ``plan`` has, without a customisation layer; gives their digests."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        layers = [layer["paths"] for layer in plan["layers"]]
        digests = tuple(
            add_layer(archive, partial(write_store_layer, paths, OWNER, MTIME, folder), MTIME) for paths in layers
        )
        image = {
            "created": _CREATED,
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"diff_ids": [f"sha256:{digest}" for digest in digests], "type": "layers"},
            "history": [{"created": _CREATED, "comment": f"store paths: {paths}"} for paths in layers],
        }
        text = json.dumps(image, indent=4).encode()
        identity = hashlib.sha256(text).hexdigest()
        add_bytes(archive, f"{identity}.json", text, MTIME)
        names = [f"{digest}/layer.tar" for digest in digests]
        manifest = [{"Config": f"{identity}.json", "RepoTags": ["bench:latest"], "Layers": names}]
        add_bytes(archive, "manifest.json", json.dumps(manifest, indent=4).encode(), MTIME)
    return digests


if __name__ == "__main__":
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("/")
    stream(json.loads(Path(sys.argv[1]).read_text()), sys.stdout.buffer, where)
