"""Short names of store paths, digests and sets of store paths for texts that people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.core.names import Digest, StorePath

# The number of digits in a shortened hash, which is the same as in the IDs that ``docker images`` prints.
HASH_DIGITS = 12
NO_PATHS = "no store paths"

CUSTOMISATION_LAYER = "customisation layer"
"""The name of the layer that holds everything but store paths, and the comment on it in an image's history."""


def shorten_digest(digest: Digest) -> str:
    """Return a digest as ``sha256:`` and its first 12 digits."""
    algorithm, _, digits = str(digest).partition(":")
    return f"{algorithm}:{digits[:HASH_DIGITS]}"


def shorten_sri(digest: Digest) -> str:
    """Return a digest in the form that Nix prints, such as ``sha256-h3AzGluuLICk…``, cut after 12 characters."""
    algorithm, _, text = digest.sri.partition("-")
    return f"{algorithm}-{text[:HASH_DIGITS]}…"


def summarize_layer_paths(paths: Sequence[StorePath], sizes: Sequence[int] = ()) -> str:
    """Return the name of the largest store path of a layer and how many others there are, such as ``glibc-2.40 +37``.

    Args:
        paths: The store paths.
        sizes: Their sizes; without sizes, the first path is named.
    """
    if not paths:
        return NO_PATHS
    largest = max(range(len(sizes)), key=sizes.__getitem__, default=0)
    others = f" +{len(paths) - 1}" if len(paths) > 1 else ""
    return paths[largest].name + others


def format_rate(rate: float | None) -> str:
    """Return the share of updates that change a layer in percent, such as ``6.6 %``; empty if it is not known."""
    return "" if rate is None else f"{100 * rate:.1f} %"


def name_layer(paths: Sequence[StorePath], comment: str, other: str = NO_PATHS, sizes: Sequence[int] = ()) -> str:
    """Return the name of a layer of an image that exists, as `summarize_layer_paths`.

    Args:
        paths: The store paths.
        comment: The comment on the layer in the image's history.
        other: The name of a layer without store paths that is no customisation layer.
        sizes: The sizes of the paths.
    """
    if paths:
        return summarize_layer_paths(paths, sizes)
    return comment if comment == CUSTOMISATION_LAYER else other
