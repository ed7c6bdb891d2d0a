"""Fuzz target: any bytes as an image file.

Invariant: `open_images` returns images, or raises an error of lamina and nothing else. The images can be inspected,
merged and exported, or an error of lamina is raised. Memory and time are bounded: the runner ends an input that takes
seconds or a gigabyte.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from lamina.core.progress import Progress
from lamina.errors import Error
from lamina.images.export import ExportedRoot, write_root
from lamina.images.merge import collect_images, write_merged
from lamina.images.readers.open import open_images
from lamina.images.readers.source_image import SourceImage
from lamina.system.fd_writer import FunctionOutput

_MAX_UNPACKED = 64 << 20


def check(data: bytes) -> None:
    """Raise `AssertionError` if ``data`` violates the invariant."""
    with tempfile.TemporaryDirectory(prefix="lamina-fuzz-") as folder:
        file = Path(folder, "image")
        file.write_bytes(data)
        process_image(file)


def process_image(path: Path) -> str:
    """Read, merge and export the image file ``path``; return the name of the error, or the number of images."""
    try:
        images = open_images(path, _MAX_UNPACKED)
        for image in images:
            _export(path, image)
        write_merged(collect_images([path], max_unpacked=_MAX_UNPACKED), FunctionOutput(len), Progress())
    except Error as error:
        if type(error) is Error or not str(error):
            raise AssertionError("an error without a family or a message") from error
        return type(error).__name__
    return f"{len(images)} images"


def _export(path: Path, image: SourceImage) -> None:
    try:
        write_root(ExportedRoot(image, path), FunctionOutput(len))
    except Error as error:
        if type(error) is Error:
            raise AssertionError("an error without a family") from error
