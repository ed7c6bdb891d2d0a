"""Make drafts from nixpkgs' ``conf.json``, which lists the paths of each layer. No Nix database is read.

Invariant: the image is the same that nixpkgs' streamer would write, with the same image ID.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lamina.builder.base_image import BaseImage
from lamina.core.names import Digest, ImageReference
from lamina.core.nodes import Regular
from lamina.errors import FormatError, InvalidArgument, error_context
from lamina.formats.conf import Conf
from lamina.formats.docker import ImageConfig, store_paths_comment
from lamina.images.image import Draft, ImageSettings
from lamina.layering import LayerPlan
from lamina.layers.layer import FinishedLayer
from lamina.stores.chained import ChainedStore
from lamina.stores.local.folder import FolderStore
from lamina.system.documents import read_document
from lamina.system.walk import walk

# A conf.json names every store path of the image.
_MAX_BYTES = 64 << 20


def read_conf(path: Path) -> Conf:
    """Return the conf in the file at ``path``; raises `InputError`, `FormatError`."""
    data = read_document(path, str(path), "a conf.json", limit=_MAX_BYTES)
    with error_context(path, FormatError):
        return Conf.parse(data)


def draft_from_conf(
    conf: Conf, repo_tag: ImageReference | None, folders: Sequence[Path], now: datetime
) -> tuple[Draft, tuple[str, ...]]:
    """Return the draft of the image that ``conf`` describes, and warnings.

    nixpkgs' streamer accepts a base image for another architecture, so that is only a warning here.

    Args:
        conf: the contents of the ``conf.json``.
        repo_tag: the image's name and tag; None for those in ``conf``.
        folders: folders that contain ``nix/store``, in the order in which they are searched.
        now: the time for "now" in ``conf``.

    Raises:
        InputError: a file that ``conf`` names is missing.
        FormatError: the customisation layer is invalid.
        Error: any error of opening the base image.

    """
    base = BaseImage()
    if conf.from_image is not None:
        base = BaseImage.open(_locate(conf.from_image, folders), conf.architecture, is_strict=False)
    config = ImageConfig(conf.architecture, conf.created or now, base.merge_config(conf.config))
    reference = repo_tag or conf.repo_tag
    settings = ImageSettings(reference.repository, reference.tag, config, conf.owner, conf.mtime or now)
    plans = tuple(LayerPlan(paths) for paths in conf.store_layers)
    number = len(base.layers) + len(plans) + 1
    root = _open_customisation_layer(conf.customisation_layer, _locate(conf.customisation_layer, folders), number)
    store = ChainedStore([FolderStore(folder) for folder in folders])
    return Draft(plans, store, root, settings, base.layers), base.notes


def _open_customisation_layer(name: str, folder: Path, number: int) -> FinishedLayer:
    """Return the layer of ``layer.tar`` in ``folder``, with the diff ID in the file ``checksum`` beside it."""
    (node,) = walk(os.fsencode(folder / "layer.tar"))
    if not isinstance(node, Regular) or isinstance(node.content, bytes):
        raise FormatError(f"{folder}/layer.tar", "no file", "the customisation layer")
    try:
        checksum = read_document(folder / "checksum", f"{folder}/checksum", "the digest of layer.tar", limit=4096)
        expected_diff_id = Digest.from_hex(checksum.decode("ascii").strip())
    except (InvalidArgument, ValueError) as error:
        raise FormatError(f"{folder}/checksum", error, "64 hex digits") from error
    message = f"Creating layer {number} with customisation..."
    return FinishedLayer(node.content, message, store_paths_comment([name]), expected_diff_id)


def _locate(name: str, folders: Sequence[Path]) -> Path:
    """Return the file called ``name`` in the first of ``folders`` that has it, or else the unchanged ``name``."""
    candidates = (folder / name.lstrip("/") for folder in folders)
    return next((file for file in candidates if os.path.exists(file)), Path(name))
