"""Images of real closures, written for the engines."""

from pathlib import Path
from typing import Any

from tests.integration.closures import Sample

import lamina
from lamina.stores.local.database import LocalStore


def machine() -> LocalStore:
    """The machine's own store, which a fresh machine has only once Nix has built something."""
    return LocalStore(Path("/"))


def image_file(folder: Path, sample: Sample, **arguments: Any) -> tuple[Path, lamina.Image]:
    """A docker-archive of ``sample``, named test/image:1 unless ``arguments`` say otherwise."""
    output = folder / arguments.pop("file", "image.tar")
    named = {"name": "test/image", "tag": "1", "contents": [sample.root], "store": machine(), **arguments}
    return output, lamina.build_layered_image(output=output, **named)
