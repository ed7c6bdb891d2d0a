"""Unpacks the layers of a docker-archive over one another: the root that a container would see.

usage: unpack_image.py ARCHIVE FOLDER
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path


def main() -> None:
    """Unpacks what the command line names."""
    archive, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as image:
        (manifest,) = json.load(image.extractfile("manifest.json") or sys.exit("no manifest.json"))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=image.extractfile(name), errorlevel=1) as layer:
                layer.extractall(folder, filter=inside)


def inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """``member`` below the folder, writable, so that a later layer can add to it. The image is our own."""
    mode = member.mode | 0o200 if member.isdir() else member.mode
    return member.replace(name=member.name.lstrip("/"), mode=mode, uid=None, gid=None, uname=None, gname=None)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
