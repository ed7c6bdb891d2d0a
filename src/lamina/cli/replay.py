"""What a stream script runs: the draft it carries, streamed to stdout.

Invariant: needs the standard library and lamina's own modules in the script, nothing installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lamina.cli.ending import ending
from lamina.cli.lines import Lines
from lamina.cli.output import stdout
from lamina.engine import BUFFER_SIZE, Piece
from lamina.errors import Error, FormatError
from lamina.formats.docker import ImageConfig
from lamina.formats.tar import Owner
from lamina.image import Draft, Settings, Store
from lamina.layer import Packed
from lamina.layering.plans import LayerPlan
from lamina.names import Digest, Reference, StorePath
from lamina.pathinfo import PathInfo
from lamina.sinks.archive import DockerArchive
from lamina.sinks.output import writing_to
from lamina.sinks.script import DRAFT, ROOT
from lamina.stores.first_of import FirstOf
from lamina.stores.folder import Folder


@dataclass(frozen=True, slots=True)
class StoredRoot:
    """A customisation layer that lies finished in a zip archive."""

    archive: zipfile.ZipFile
    title: str
    comment: str
    paths: tuple[StorePath, ...] = ()

    def pack(self) -> Packed:
        """The layer as it lies there."""
        return Packed(self.archive.getinfo(ROOT).file_size, self._pieces())

    def _pieces(self) -> Iterator[Piece]:
        with self.archive.open(ROOT) as stored:
            while piece := stored.read(BUFFER_SIZE):
                yield piece


def main() -> None:
    """Streams the image of the script that runs; ends the process."""
    parser = argparse.ArgumentParser(description="Stream an image to stdout, for docker load or podman load.")
    parser.add_argument("-t", "--repo_tag", metavar="NAME:TAG", help="another name and tag for the image")
    arguments = parser.parse_args()
    sys.exit(ending(lambda: _stream(Path(sys.argv[0]), arguments.repo_tag)))


def _stream(script: Path, repo_tag: str | None) -> None:
    with zipfile.ZipFile(script) as archive:
        draft = read_draft(archive)
        if repo_tag is not None:
            reference = Reference.parse(repo_tag)
            settings = replace(draft.settings, repository=reference.repository, tag=reference.tag)
            draft = replace(draft, settings=settings)
        with stdout() as out:
            DockerArchive(writing_to(out, "stdout"), Lines(sys.stderr)).write(draft)


def read_draft(archive: zipfile.ZipFile) -> Draft:
    """The draft that a stream script carries; raises `FormatError`."""
    try:
        document = json.loads(archive.read(DRAFT))
        return _draft(document, archive)
    except (KeyError, ValueError, TypeError, Error) as error:
        if isinstance(error, Error) and not isinstance(error, FormatError):
            raise
        raise FormatError(f"{archive.filename}: got {error!r}, expected a stream script of lamina") from error


def _draft(document: dict[str, Any], archive: zipfile.ZipFile) -> Draft:
    folders: list[Store] = [Folder(Path(folder)) for folder in document["folders"]]
    plans = tuple(LayerPlan(tuple(map(_info, layer["paths"])), layer["reason"]) for layer in document["layers"])
    root = StoredRoot(archive, document["root"]["title"], document["root"]["comment"])
    config = ImageConfig(document["architecture"], datetime.fromisoformat(document["created"]), document["container"])
    settings = Settings(
        document["repository"],
        document["tag"],
        config,
        Owner(*document["owner"]),
        datetime.fromisoformat(document["mtime"]),
    )
    return Draft(plans, FirstOf(folders), root, settings)


def _info(item: list[Any]) -> PathInfo:
    path, nar_hash, nar_size = item
    return PathInfo(StorePath.parse(path), Digest.parse(nar_hash), nar_size, frozenset())
