"""Unpacks the layers of a docker-archive over one another: the root that a container would see.

usage: unpack_image.py ARCHIVE FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from pathlib import Path


def main() -> None:
    """Unpacks what the command line names."""
    archive, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with tarfile.open(archive) as image:
        (manifest,) = json.load(image.extractfile("manifest.json") or sys.exit("no manifest.json"))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                for member in layer:
                    unpack(layer, member, folder / member.name.strip("/"))


def unpack(layer: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Create ``member`` at ``path``, folders writable, so that a later layer can add to them. The image is trusted."""
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(member.mode | 0o700)
        return
    if os.path.lexists(path):
        path.unlink()
    if member.issym():
        path.symlink_to(member.linkname)
        return
    content = layer.extractfile(member)
    if content:
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(member.mode)


if __name__ == "__main__":
    main()
