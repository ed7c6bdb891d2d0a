"""The public functions for OCI layouts that exist."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lamina.errors import InvalidArgument
from lamina.images.prune import LayoutPruneResult, prune
from lamina.inputs.arguments import StrPath
from lamina.inputs.parsers import parse_count, parse_path, parse_texts


def prune_layout(
    layout: StrPath, *, keep: str | Iterable[str] = (), keep_last: int | None = None, dry_run: bool = False
) -> LayoutPruneResult:
    """Remove images from an OCI layout, and the blobs that no image refers to any more.

    An image stays if it matches one of ``keep`` or is among the last of its name; without both, all images stay, and
    only blobs that nothing refers to are removed. Signatures and other artifacts of an image that stays are kept.

    Args:
        layout: the folder of the layout.
        keep: the images to keep: tags, ``NAME:TAG`` or digests, each with the wildcards ``*`` and ``?`` if you like.
        keep_last: how many tags of each image name to keep, those written last.
        dry_run: only return what would be removed.

    Returns:
        The images that were removed and kept, and the blobs that were removed.

    Raises:
        InvalidArgument: an argument is wrong, or the folder is not a layout.
        InputError: the folder is missing.
        NotFound: no image matches one of ``keep``; nothing is removed then.
        FormatError: the index or a manifest is missing or invalid; nothing is removed then.
        Unavailable: another process writes to the layout; nothing is removed then.
        OutputError: a file cannot be removed.

    """
    folder = parse_path("layout", layout)
    if folder is None:
        raise InvalidArgument("layout", "None", "the folder of an OCI layout")
    return prune(Path(folder), parse_texts("keep", keep), parse_count("keep_last", keep_last), dry_run=dry_run)
