"""The argument ``embedded_store`` of the public functions: the folder of the store that lamina keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lamina.errors import InvalidArgument
from lamina.inputs.parsers import parse_path

if TYPE_CHECKING:
    from lamina.inputs.arguments import StrPath


def parse_store_folder(value: StrPath) -> Path:
    """Return the folder that the argument names; raise `InvalidArgument` if it is None or not a path."""
    folder = parse_path("embedded_store", value)
    if folder is None:
        raise InvalidArgument("embedded_store", "None", "the name of a folder")
    return Path(folder)
