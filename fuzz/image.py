"""Any bytes as an image file.

Invariant: `open_images` gives images, or raises an error of lamina's and nothing else; what it gives can be inspected,
merged and exported, or an error of lamina's says why not. Memory and time are bounded: the runner ends what takes
seconds or a gigabyte.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from lamina.errors import Error
from lamina.images.export import Root, write_root
from lamina.images.merge import merged, write_merged
from lamina.images.progress import Silence
from lamina.images.readers.model import SourceImage
from lamina.images.readers.open import open_images

_MOST_UNPACKED = 64 << 20


def check(data: bytes) -> None:
    """Raise if ``data`` shows that the invariant does not hold."""
    with tempfile.TemporaryDirectory(prefix="lamina-fuzz-") as folder:
        file = Path(folder, "image")
        file.write_bytes(data)
        outcome(file)


def outcome(place: Path) -> str:
    """Read, merge and export what is at ``place``; return the name of the error that ended it, or what it was."""
    try:
        images = open_images(place, _MOST_UNPACKED)
        for image in images:
            _export(place, image)
        write_merged(merged([place], max_unpacked=_MOST_UNPACKED), len, Silence())
    except Error as error:
        if type(error) is Error or not str(error):
            raise AssertionError("an error without a family or a message") from error
        return type(error).__name__
    return f"{len(images)} images"


def _export(place: Path, image: SourceImage) -> None:
    try:
        write_root(Root(image, place), len)
    except Error as error:
        if type(error) is Error:
            raise AssertionError("an error without a family") from error
