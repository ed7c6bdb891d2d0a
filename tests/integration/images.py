"""Images of real closures, written for the engines."""

from pathlib import Path
from typing import Any

from tests.integration.closures import Sample

import lamina
from lamina.stores.local.database import LocalStore


def machine_store() -> LocalStore:
    """Return the store of this machine; its database exists only after Nix has built something."""
    return LocalStore(Path("/"))


def write_image(folder: Path, sample: Sample, **arguments: Any) -> tuple[Path, lamina.Image]:
    """Write a docker-archive of ``sample``; its name is test/image:1 unless ``arguments`` override it."""
    output = folder / arguments.pop("file", "image.tar")
    named = {"name": "test/image", "tag": "1", "contents": [sample.root], "store": machine_store(), **arguments}
    return output, lamina.build_layered_image(output=output, **named)
