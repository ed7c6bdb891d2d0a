"""Specs of images of the example store, and the store paths in their plans."""

from datetime import UTC, datetime
from typing import Any

from tests.support.fake_nix_store import store_path

from lamina.core.names import StorePath
from lamina.inputs.spec import Spec

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HELLO = store_path("hello-2.12.1")


def paths_of(planned: Any) -> set[StorePath]:
    return {path for layer in planned for path in layer.paths}


def parse(**arguments: Any) -> Spec:
    return Spec.parse({"name": "x", "architecture": "amd64", **arguments})
