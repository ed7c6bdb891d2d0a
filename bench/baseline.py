"""A streamer that works like that of nixpkgs, to measure against: it reads and packs every layer twice.

It uses no code of lamina and does only what the streamer of nixpkgs does: two passes over every layer, `pathlib` to
find and sort files, `tarfile` to pack them, and a pipe and a thread between them.

    python bench/baseline.py PLAN [FOLDER] > image.tar

PLAN is the output of ``lamina plan --json``; FOLDER contains ``nix/store`` and is / by default.
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
    """A file that counts and hashes the bytes written to it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return len(data)


def write_store_layer(paths: Iterable[str], conf: Mapping[str, Any], mtime: int, folder: Path, out: Any) -> None:
    """Write the layer of ``paths``: /nix/ and /nix/store/, then each path and its files, sorted by components."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:

        def set_owner_and_mtime(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime = mtime
            member.uid, member.gid = int(conf["uid"]), int(conf["gid"])
            member.uname, member.gname = conf["uname"], conf["gname"]
            return member

        for name in ("/nix", "/nix/store"):
            member = set_owner_and_mtime(tarfile.TarInfo(name))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for path in paths:
            top = folder / path.lstrip("/")
            for file in [top] if top.is_symlink() else sorted([top, *top.rglob("*")]):
                member = set_owner_and_mtime(archive.gettarinfo(str(file)))
                member.name = path + str(file)[len(str(top)) :]
                if member.islnk():
                    member.type, member.linkname, member.size = tarfile.REGTYPE, "", file.stat().st_size
                if member.isreg():
                    with file.open("rb") as content:
                        archive.addfile(member, content)
                else:
                    archive.addfile(member)


def add_layer(archive: tarfile.TarFile, write: Callable[[Any], None], mtime: int) -> str:
    """Pack a layer twice, for its digest and size and then for its bytes, and return the digest."""
    first = HashingFile()
    write(first)
    digest = first.hash.hexdigest()
    member = tarfile.TarInfo(f"{digest}/layer.tar")
    member.size, member.mtime = first.size, mtime
    read_fd, write_fd = os.pipe()

    def pack() -> None:
        with open(write_fd, "wb") as pipe:
            write(pipe)

    packer = threading.Thread(target=pack)
    packer.start()
    with open(read_fd, "rb") as pipe:
        archive.addfile(member, pipe)
    packer.join()
    return digest


def add_bytes(archive: tarfile.TarFile, name: str, data: bytes, mtime: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(data), mtime
    archive.addfile(member, io.BytesIO(data))


def stream(plan: Mapping[str, Any], out: IO[bytes], folder: Path = Path("/")) -> tuple[str, ...]:
    """Write an image of the layers in ``plan``, without a customisation layer, and return their digests."""
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
    root = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("/")
    stream(json.loads(Path(sys.argv[1]).read_text()), sys.stdout.buffer, root)
