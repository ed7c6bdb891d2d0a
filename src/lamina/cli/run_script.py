"""The program inside a stream script: it reads the draft that the script carries and streams the image to stdout.

Invariant: this module needs only the standard library and the modules of lamina that are packed into the script.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lamina.cli.exits import run_to_exit_code
from lamina.cli.nix_lines import NixLines
from lamina.cli.output import open_stdout
from lamina.core.names import Digest, ImageReference, StorePath
from lamina.core.nodes import Extent
from lamina.errors import FormatError
from lamina.formats.docker import ImageConfig
from lamina.formats.json_toml import parse_json
from lamina.formats.tar import Owner
from lamina.images.image import Draft, ImageSettings
from lamina.images.writers.docker_archive import DockerArchive
from lamina.images.writers.stream_script import DRAFT, layer_name
from lamina.layering.plans import LayerPlan
from lamina.layers.context import BuildContext
from lamina.layers.layer import FinishedLayer
from lamina.messages.redaction import short_repr
from lamina.stores.chained import ChainedStore
from lamina.stores.open import open_contents
from lamina.system.cpus import cpu_count
from lamina.system.output import make_writer

# PKWARE's APPNOTE, 4.3.7, "Local file header".
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


def main() -> None:
    """Stream the image of the running script and end the process."""
    parser = argparse.ArgumentParser(description="Stream an image to stdout, for docker load or podman load.")
    parser.add_argument("-t", "--repo_tag", metavar="NAME:TAG", help="another name and tag for the image")
    arguments = parser.parse_args()
    sys.exit(run_to_exit_code(lambda: _stream(Path(sys.argv[0]), arguments.repo_tag)))


def _stream(script: Path, repo_tag: str | None) -> None:
    with zipfile.ZipFile(script) as archive:
        draft = read_draft(archive)
        if repo_tag is not None:
            reference = ImageReference.parse(repo_tag)
            settings = replace(draft.settings, repository=reference.repository, tag=reference.tag)
            draft = replace(draft, settings=settings)
        with open_stdout() as out:
            context = BuildContext(jobs=cpu_count())
            DockerArchive(make_writer(out, "stdout"), NixLines(sys.stderr), context).write(draft)


def read_draft(archive: zipfile.ZipFile) -> Draft:
    """Return the draft that a stream script carries.

    Raises:
        FormatError: The archive is not a stream script that this version of lamina wrote.
    """
    try:
        document = parse_json(archive.read(DRAFT), DRAFT)
        return _parse_draft(document, archive)
    except (KeyError, ValueError, TypeError, FormatError) as error:
        raise FormatError(archive.filename, short_repr(error), "a stream script of lamina") from error


def _parse_draft(document: dict[str, Any], archive: zipfile.ZipFile) -> Draft:
    folders = [open_contents(Path(folder)) for folder in document["folders"]]
    plans = tuple(LayerPlan(tuple(map(StorePath.parse, paths))) for paths in document["layers"])
    *base, root = (
        _read_layer(archive, number, item) for number, item in enumerate([*document["base"], document["root"]])
    )
    config = ImageConfig(document["architecture"], datetime.fromisoformat(document["created"]), document["container"])
    settings = ImageSettings(
        document["repository"],
        document["tag"],
        config,
        Owner(*document["owner"]),
        datetime.fromisoformat(document["mtime"]),
    )
    return Draft(plans, ChainedStore(folders), root, settings, tuple(base))


def _read_layer(archive: zipfile.ZipFile, number: int, item: dict[str, Any]) -> FinishedLayer:
    expected_diff_id = Digest.parse(item["diff_id"]) if item["diff_id"] else None
    return FinishedLayer(_find_extent(archive, layer_name(number)), item["message"], item["comment"], expected_diff_id)


def _find_extent(archive: zipfile.ZipFile, name: str) -> Extent:
    """Return the extent of the archive's file that holds the bytes of ``name``, which is stored uncompressed."""
    entry = archive.getinfo(name)
    file = os.fsencode(str(archive.filename))
    with open(file, "rb") as script:
        script.seek(entry.header_offset)
        *_, name_length, extra_length = _LOCAL_HEADER.unpack(script.read(_LOCAL_HEADER.size))
        status = os.fstat(script.fileno())
    offset = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    return Extent(os.path.realpath(file), offset, entry.file_size, status.st_size, status.st_mtime_ns)
