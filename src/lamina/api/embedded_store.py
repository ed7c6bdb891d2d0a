"""The argument ``embedded_store`` of the public functions: the folder of the store that lamina keeps."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.errors import InvalidArgument
from lamina.inputs.spec import Spec
from lamina.stores.embedded.store import EmbeddedStore


def open_embedded_store(spec: Spec) -> EmbeddedStore:
    """Open the embedded store that ``spec`` names; raise `InvalidArgument` if it names none."""
    return EmbeddedStore(_require_folder(spec))


def parse_store_folder(value: str | os.PathLike[str]) -> Path:
    """Return the folder that the argument names; raise `InvalidArgument` for None and for what is not a path."""
    return _require_folder(Spec.parse({"embedded_store": value}))


def _require_folder(spec: Spec) -> Path:
    if spec.embedded_store is None:
        raise InvalidArgument("embedded_store", got="None", expected="the name of a folder")
    return Path(spec.embedded_store)
