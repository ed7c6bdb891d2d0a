"""The options of a batch, apart from those of its images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from lamina.errors import InvalidArgument
from lamina.fleet.destinations import BatchDestination, LayoutFolder, RegistryPrefix
from lamina.fleet.results import BatchProgress
from lamina.fleet.task_runner import DEFAULT_RULES, RetryRules
from lamina.fleet.where import Where
from lamina.images.software import SbomFormat
from lamina.inputs.arguments import StrPath
from lamina.inputs.parsers import parse_path, parse_text


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is run.

    Attributes:
        destination: where the images go.
        where: where the layers are made.
        client: a client of a Dask cluster that the caller made, or None.
        fail_fast: whether the first error ends the batch.
        progress: receives the progress.
        rules: how often a layer is tried.
        sbom: the format of a software bill of materials that is attached to each image, or None.
        has_provenance: whether the provenance of each image is attached to it.
    """

    destination: BatchDestination
    where: Where
    client: object | None = None
    fail_fast: bool = False
    progress: BatchProgress = field(default_factory=BatchProgress)
    rules: RetryRules = DEFAULT_RULES
    sbom: SbomFormat | None = None
    has_provenance: bool = False

    def __post_init__(self) -> None:
        """Raise `InvalidArgument` if documents are to be attached to images that do not go to a registry."""
        if (self.sbom or self.has_provenance) and not self.destination.is_registry:
            name = "sbom" if self.sbom else "provenance"
            hint = "documents are attached to images in registries; lamina sbom writes one to a file"
            raise InvalidArgument(name, "it and an OCI layout", "a registry", hint=hint)


def parse_destination(to: str | None, output: StrPath | None, *, insecure: bool = False) -> BatchDestination:
    """Return the destination of a batch. Raises `InvalidArgument` unless exactly one argument names it."""
    if (to is None) == (output is None):
        raise InvalidArgument("to", "both or neither of to and output", "one of them, to say where the images go")
    if to is not None:
        return RegistryPrefix.parse(parse_text("to", to), insecure=insecure)
    return LayoutFolder(Path(os.path.abspath(parse_path("output", output) or "")))
