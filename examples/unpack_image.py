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


def unpack(layer: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Makes ``member`` at ``place``, folders writable, so that a later layer can add to them. The image is our own."""
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(member.mode | 0o700)
        return
    if os.path.lexists(place):
        place.unlink()
    if member.issym():
        place.symlink_to(member.linkname)
        return
    content = layer.extractfile(member)
    if content:
        with place.open("wb") as file:
            shutil.copyfileobj(content, file)
        place.chmod(member.mode)


if __name__ == "__main__":
    main()
