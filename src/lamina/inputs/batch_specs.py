"""The images of a batch: those of one or several spec files, or those that a Python program describes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lamina.errors import InvalidArgument
from lamina.inputs.arguments import ImageArguments, StrPath
from lamina.inputs.specfile import SpecTable, load_all
from lamina.messages.redaction import short_repr

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
        InvalidArgument: an argument in a spec file is wrong, or an image has no name.

    """
    if isinstance(specs, Mapping):
        return _check_tables(specs)
    if not isinstance(specs, (str, os.PathLike, Iterable)):
        raise InvalidArgument("specs", short_repr(specs), "spec files, or the arguments of images by names for them")
    files = [specs] if isinstance(specs, (str, os.PathLike)) else list(specs)
    tables = [table for file in files for table in load_all(os.fspath(file)).values()]
    counts = Counter(table.name for table in tables)
    loaded: dict[str, ImageArguments] = {}
    for table in tables:
        arguments: Any = table.parse()
        loaded[name_table(table, counts)] = arguments
    return loaded


def load_siblings(specs: Specs) -> Mapping[str, ImageArguments]:
    """Return the arguments of the images that are in the same files as those of ``specs``, but not among them.

    They are planned together, so that an image has the layers that it has in a batch of its whole file.

    Args:
        specs: what `load_specs` takes; it raises the same errors.

    """
    if isinstance(specs, Mapping):
        return {}
    files = [os.fspath(specs)] if isinstance(specs, (str, os.PathLike)) else [os.fspath(file) for file in specs]
    picked = {table.subject for file in files for table in load_all(file).values()}
    whole = dict.fromkeys(file.partition("#")[0] for file in files)
    tables = [table for file in whole for table in load_all(file).values() if table.subject not in picked]
    loaded: dict[str, Any] = {table.subject: table.parse() for table in tables}
    return loaded


def name_table(table: SpecTable, counts: Mapping[str, int]) -> str:
    """Return the name of an image in messages: that of its table, or ``FILE#NAME`` if several files have that one.

    Args:
        table: the arguments of the image.
        counts: how many tables have each name.

    Raises:
        InvalidArgument: neither the table nor its arguments have a name, which the image would have in a registry.

    """
    if not table.name and "name" not in table.arguments:
        hint = 'write name = "web", or the table [web] around its arguments'
        raise InvalidArgument(table.subject, "an image without a name", "one", hint=hint)
    return table.name if table.name and counts[table.name] == 1 else table.subject


def _check_tables(tables: Mapping[str, ImageArguments]) -> Mapping[str, ImageArguments]:
    for name, arguments in tables.items():
        if not isinstance(name, str) or not isinstance(arguments, Mapping):
            raise InvalidArgument(
                "specs", f"{short_repr(name)}: {short_repr(arguments)}", "names and arguments of images"
            )
    return tables
