"""The document of ``lamina sbom``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lamina.cli.documents import Document
from lamina.cli.documents.images import name_file

if TYPE_CHECKING:
    from lamina.images.software import SbomResult


class SbomDocument(Document):
    """A software bill of materials that was written."""

    file: Annotated[str | None, "The file that was written; null for stdout."]
    media_type: Annotated[str, "Its media type: application/vnd.cyclonedx+json or application/spdx+json."]
    size: Annotated[int, "Its size in bytes."]
    paths: Annotated[list[str], "The store paths that it lists, sorted."]


def dump_sbom(output: str, result: SbomResult) -> SbomDocument:
    """Return the document of ``lamina sbom``; ``output`` is the value of ``-o``."""
    return {
        "file": name_file(output),
        "media_type": result.media_type,
        "size": len(result.document),
        "paths": list(map(str, result.components)),
        "warnings": list(result.warnings),
    }
