"""Write stream scripts: executable files that write an image to standard output when they are run.

A script needs only the Python that it was made with and the store paths. It writes the same bytes that streaming the
draft gave when the script was made.

The file is a shell line that starts that Python, followed by a zip archive that Python runs (PEP 441). The archive
holds lamina's own modules, the draft in JSON, and the layers that are not in the store: the base image's and the
customisation layer. These layers are stored uncompressed, so that they are read in place.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from lamina.images.image import Draft
from lamina.layers.layer import LayerSource
from lamina.system.output import atomic_write
from lamina.system.transfer import Write, transfer

DRAFT = "draft.json"
_MAIN = "import lamina.cli.start\nfrom lamina.cli.run_script import main\n\nmain()\n"
# The oldest date that the zip format can store.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_script(draft: Draft, folders: Sequence[Path], path: Path) -> None:
    """Write the script for ``draft`` to ``path``.

    Args:
        draft: the image.
        folders: the folders in which the script looks for the store paths, in this order.
        path: the file to write.

    Raises:
        OutputError: the script cannot be written.

    Errors of packing the customisation layer are passed on.

    """
    finished = (*draft.base, draft.root)
    python = os.path.realpath(sys.executable)
    with atomic_write(path, 0o777) as output:
        out = _CountingFile(output.write)
        out.write(f'#!/bin/sh\nexec {shlex.quote(python)} -I "$0" "$@"\n'.encode())
        with zipfile.ZipFile(out, "w") as archive:
            _write_entry(archive, "__main__.py", _MAIN.encode())
            for name, module in _list_modules(resources.files("lamina"), "lamina"):
                _write_entry(archive, name, module)
            _write_entry(archive, DRAFT, json.dumps(_dump_draft(draft, folders), indent=1).encode())
            for number, source in enumerate(finished):
                with archive.open(_make_entry(layer_name(number), zipfile.ZIP_STORED), "w", force_zip64=True) as layer:
                    transfer(source.pack().pieces, layer.write)


def layer_name(number: int) -> str:
    """Return the name that finished layer ``number``, counted from 0, has in the zip archive."""
    return f"layers/{number}.tar"


def _list_modules(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        path = f"{name}/{item.name}"
        if item.is_dir():
            yield from _list_modules(item, path)
        elif path.endswith((".py", ".pyi")):
            yield path, item.read_bytes()


def _dump_draft(draft: Draft, folders: Sequence[Path]) -> dict[str, Any]:
    settings = draft.settings
    owner = settings.owner
    return {
        "folders": [str(folder.absolute()) for folder in folders],
        "layers": [list(map(str, plan.paths)) for plan in draft.plans],
        "base": [_dump_finished(source, number) for number, source in enumerate(draft.base, 1)],
        "root": _dump_finished(draft.root, len(draft.base) + len(draft.plans) + 1),
        "repository": settings.repository,
        "tag": settings.tag,
        "architecture": settings.config.architecture,
        "created": settings.config.created.isoformat(),
        "container": settings.config.container,
        "mtime": settings.mtime.isoformat(),
        "owner": [owner.uid, owner.gid, owner.uname, owner.gname],
    }


def _dump_finished(source: LayerSource, number: int) -> dict[str, Any]:
    return {
        "message": source.headline(number),
        "comment": source.comment,
        "diff_id": str(source.expected_diff_id) if source.expected_diff_id else None,
    }


def _write_entry(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_make_entry(name, zipfile.ZIP_DEFLATED), data)


def _make_entry(name: str, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = compression
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


class _CountingFile(io.RawIOBase):
    """A write-only stream that counts its bytes, because `zipfile` needs ``tell`` if it cannot seek."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._offset = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        self._write(view)
        self._offset += len(view)
        return len(view)
