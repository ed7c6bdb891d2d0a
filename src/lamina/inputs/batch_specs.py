"""The images of a batch: those of one or several spec files, or those that a Python program describes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.specfile import load_all

Specs = StrPath | Iterable[StrPath] | Mapping[str, ImageArguments]
"""Spec files, each with or without ``#NAME`` for one of its images; or the arguments of images, by names for them."""


def load_specs(specs: Specs) -> Mapping[str, ImageArguments]:
    """Return the arguments of all images.

    Args:
        specs: spec files, or the arguments of images by names for them.

    Returns:
        The arguments, by names for the images. In a spec file, that is the name of the table, or ``FILE#NAME`` if
        several files have a table of that name.

    Raises:
        InputError: a spec file is missing, or cannot be read.
        FormatError: a spec file does not follow its format.
        InvalidArgument: an argument in a spec file is wrong.

    """
    if isinstance(specs, Mapping):
        return specs
    files = [specs] if isinstance(specs, (str, os.PathLike)) else list(specs)
    tables = [table for file in files for table in load_all(os.fspath(file)).values()]
    counts = Counter(table.name for table in tables)
    loaded: dict[str, ImageArguments] = {}
    for table in tables:
        arguments: Any = table.parse()
        loaded[table.name if table.name and counts[table.name] == 1 else table.subject] = arguments
    return loaded
