"""From nixpkgs' ``conf.json`` to a draft of the same image.

Invariant: the draft becomes the image that nixpkgs' streamer would have written, to the image ID; no database is asked,
for the plan is made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lamina.builder.base_image import BaseImage
from lamina.core.names import Digest, ImageReference
from lamina.core.nodes import Regular
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.conf import Conf
from lamina.formats.docker import ImageConfig, store_paths_comment
from lamina.images.image import Draft, Settings
from lamina.layering import LayerPlan
from lamina.layers.layer import FinishedLayer
from lamina.stores.chained import ChainedStore
from lamina.stores.local.folder import FolderStore
from lamina.system.documents import read_document
from lamina.system.walk import walk

# A conf.json names every store path of the image.
_MAX_BYTES = 64 << 20


def read_conf(path: Path) -> Conf:
    """Return the conf in the file at ``path``; raises `NotFound`, `Unavailable`, `FormatError`."""
    data = read_document(path, str(path), "a conf.json", limit=_MAX_BYTES)
    try:
        return Conf.parse(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def draft_from_conf(
    conf: Conf, repo_tag: ImageReference | None, folders: Sequence[Path], now: datetime
) -> tuple[Draft, tuple[str, ...]]:
    """Return the image of ``conf``, named ``repo_tag`` if that is given, and warnings.

    What it names is looked for below each of ``folders``, the first first, as `/nix/store/…`; ``now`` is what "now"
    means. nixpkgs' streamer takes a base image for any processor, so that is a warning. Raises `NotFound`, and what
    reading the base image raises.
    """
    base = BaseImage()
    if conf.from_image is not None:
        base = BaseImage.open(_locate(conf.from_image, folders), conf.architecture, is_strict=False)
    config = ImageConfig(conf.architecture, conf.created or now, base.merge_config(conf.config))
    reference = repo_tag or conf.repo_tag
    settings = Settings(reference.repository, reference.tag, config, conf.owner, conf.mtime or now)
    plans = tuple(LayerPlan(paths) for paths in conf.store_layers)
    number = len(base.layers) + len(plans) + 1
    root = _customisation_layer(conf.customisation_layer, _locate(conf.customisation_layer, folders), number)
    store = ChainedStore([FolderStore(folder) for folder in folders])
    return Draft(plans, store, root, settings, base.layers), base.notes


def _customisation_layer(name: str, folder: Path, number: int) -> FinishedLayer:
    """``layer.tar`` in ``folder``, with the digest that ``checksum`` beside it promises."""
    (node,) = walk(os.fsencode(folder / "layer.tar"))
    if not isinstance(node, Regular) or isinstance(node.content, bytes):
        raise FormatError(f"{folder}/layer.tar: got no file, expected the customisation layer")
    try:
        checksum = read_document(folder / "checksum", f"{folder}/checksum", "the digest of layer.tar", limit=4096)
        expected_diff_id = Digest.from_hex(checksum.decode("ascii").strip())
    except (InvalidArgument, ValueError) as error:
        raise FormatError(f"{folder}/checksum: got {error}, expected 64 hex digits") from error
    message = f"Creating layer {number} with customisation..."
    return FinishedLayer(node.content, message, store_paths_comment([name]), expected_diff_id)


def _locate(name: str, folders: Sequence[Path]) -> Path:
    """Where what ``name`` names is: below the first of ``folders`` that has it, or else as it stands."""
    below = (folder / name.lstrip("/") for folder in folders)
    return next((place for place in below if os.path.exists(place)), Path(name))
