"""The steps into which nixpkgs' dockerTools divides an image, each as a function.

A layered image is made in three steps: `build_customisation_layer`, `plan_conf` and `stream_conf`. Every error is a
`lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lamina.api.stream import Stream
from lamina.core.names import Digest, ImageReference, StorePath
from lamina.errors import InputError, InvalidArgument, output_error
from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.spec import Spec
from lamina.inputs.stores import open_store
from lamina.messages.redaction import short_repr
from lamina.stores.open import MACHINE
from lamina.system.output import atomic_write
from lamina.system.transfer import transfer

if TYPE_CHECKING:
    from lamina.builder.conf_plan import ConfResult
    from lamina.images.readers.source_image import SourceImage
    from lamina.layers.layer import LayerSource


@dataclass(frozen=True, slots=True)
class CustomisationLayerResult:
    """A customisation layer that was written, with warnings and with what the scripts printed."""

    diff_id: Digest
    warnings: tuple[str, ...]
    script_output: str


def build_customisation_layer(output: StrPath, **arguments: Unpack[ImageArguments]) -> CustomisationLayerResult:
    """Write the customisation layer of an image (nixpkgs: the derivation ``NAME-customisation-layer``).

    The scripts run now.

    Args:
        output: the folder to create, with the file ``layer.tar`` and its SHA-256 in hex, ``checksum``.
        **arguments: those of `lamina.stream_layered_image`; its contents are store paths, because nothing is built.

    Raises:
        OutputError: ``output`` exists, or cannot be written.
        Error: what `lamina.stream_layered_image` raises.

    """
    from lamina.builder.prepare import prepare_root

    warnings: list[str] = []
    spec = pin_base_image(Spec.parse(arguments), warnings)
    with open_store(spec, spec.embedded_store, warnings) as store:
        root = prepare_root(spec, store)
        with closing(root.layer):
            diff_id = _write_layer(root.layer, Path(output))
    return CustomisationLayerResult(diff_id, (*warnings, *spec.warnings, *root.warnings), root.script_output)


def _write_layer(layer: LayerSource, folder: Path) -> Digest:
    """Write ``layer`` and its checksum into the new ``folder``, and return its diff ID. Raises `OutputError`."""
    try:
        folder.mkdir()
    except OSError as error:
        raise output_error(folder, error) from error
    with atomic_write(folder / "layer.tar") as out:
        diff_id = transfer(layer.pack().pieces, out.write).digest
    with atomic_write(folder / "checksum") as out:
        out.write(memoryview(f"{diff_id.hex}\n".encode()))
    return diff_id


def plan_conf(base_json: StrPath, customisation_layer: StrPath, **arguments: Unpack[ImageArguments]) -> ConfResult:
    """Plan which store path goes to which layer, as the ``conf.json`` of an image (nixpkgs: ``passthru.conf``).

    Args:
        base_json: the store path of a file with ``architecture``, ``config`` and ``os``.
        customisation_layer: the store path of the folder that `build_customisation_layer` wrote.
        **arguments: those of `lamina.stream_layered_image`. The config and the architecture are those of ``base_json``,
            and the contents are everything that the two store paths refer to. With ``layering="auto"`` or a pipeline,
            the layers are those of nixpkgs.

    Returns:
        The text of the ``conf.json``, with the plan of the layers.

    Raises:
        NotFound: a store path is not valid.
        Error: what `lamina.stream_layered_image` raises.

    """
    from lamina.builder import conf_plan

    warnings: list[str] = []
    spec = pin_base_image(Spec.parse(arguments), warnings)
    base, layer = (StorePath.parse(os.fspath(path)) for path in (base_json, customisation_layer))
    with open_store(spec, spec.embedded_store, warnings) as store:
        return conf_plan.plan_conf(spec, base, layer, store, warnings)


def stream_conf(
    conf: StrPath,
    *,
    repo_tag: str | None = None,
    store: StrPath | Sequence[StrPath] = (),
    jobs: int | None = None,
) -> Stream:
    """Prepare the image that nixpkgs' streamer would make of a ``conf.json``.

    Store paths are read only when the image is written.

    Args:
        conf: the ``conf.json`` that nixpkgs wrote for its streamer.
        repo_tag: another NAME:TAG for the image.
        store: folders that hold ``nix/store``. By default this machine's own.
        jobs: the number of processors to use. By default all.

    Returns:
        The image, ready to be streamed.

    Raises:
        InvalidArgument: an argument is wrong.
        InputError: ``conf``, or a file that it names, is missing or cannot be read.
        FormatError: ``conf`` is not a conf.json of nixpkgs.
        Error: what opening a base image raises.

    """
    from lamina.builder.nixpkgs_conf import draft_from_conf, read_conf

    spec = Spec.parse({"store": store, "jobs": jobs})
    if not isinstance(spec.store, tuple):
        raise InvalidArgument("store", short_repr(store), "folders")
    reference = ImageReference.parse(repo_tag) if repo_tag is not None else None
    folders = tuple(map(Path, spec.store)) or (MACHINE,)
    draft, warnings = draft_from_conf(read_conf(Path(conf)), reference, folders, datetime.now(UTC))
    return Stream(draft, [*warnings], "", spec, draft.close)


def export_first_image(image: StrPath, *, output: StrPath, name: str | None = None) -> SourceImage:
    """Write the root file system of the first image in a file as a tar (nixpkgs: dockerTools.exportImage).

    Args:
        image: a file or layout.
        output: a file, written whole or not at all.
        name: NAME:TAG of the image. By default the first image is used.

    Returns:
        The image.

    Raises:
        Error: what `lamina.export_image` raises.

    """
    from lamina.images.export import ExportedRoot, write_root
    from lamina.images.readers.open import open_images
    from lamina.images.readers.select import select_by_name

    images = open_images(Path(image))
    if name is not None:
        images = select_by_name(images, name, image, "name one as fromImageName and fromImageTag")
    with atomic_write(Path(output)) as out:
        write_root(ExportedRoot(images[0], image), out)
    return images[0]


def detect_compressor(image: StrPath) -> str:
    """Return the name of the compressor that made an image file: ``none``, ``gz`` or ``zstd``.

    The result is ``none`` also for a compression that lamina does not write.

    Raises:
        InputError: the file cannot be read.
    """
    from lamina.compression.streams import MAGIC_SIZE, detect_compression

    try:
        with open(image, "rb") as file:
            compression = detect_compression(file.read(MAGIC_SIZE))
    except (OSError, ValueError) as error:
        raise InputError(image, error, "an image file") from error
    return {"gzip": "gz", "zstd": "zstd"}.get(compression, "none")
