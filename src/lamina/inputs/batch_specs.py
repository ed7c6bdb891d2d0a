"""The images of a batch: those of one or several spec files, or those that a Python program describes.

What holds for all images, an option or an argument of `lamina.batch`, takes precedence over spec files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lamina.errors import InvalidArgument
from lamina.inputs.arguments import ARGUMENTS, ImageArguments, StrPath
from lamina.inputs.specfile import SpecTable, load_all, pick_tables
from lamina.messages.redaction import short_repr

Specs = StrPath | Iterable[StrPath] | Mapping[str, ImageArguments]
"""Spec files, each with or without ``#NAME`` for one of its images; or the arguments of images, by names for them."""


class BatchTables(NamedTuple):
    """Tables of spec files, by the names of their images in messages.

    That is the name of the table, or ``FILE#NAME`` if several files have a table of that name.

    Attributes:
        picked: the images that are built.
        others: the other images of the same files. They are planned together with them, so that an image has the layers
            that it has in a batch of its whole file.
    """

    picked: Mapping[str, SpecTable]
    others: Mapping[str, SpecTable]


class BatchArguments(NamedTuple):
    """The arguments of images, by their names in messages.

    Attributes:
        picked: the images that are built.
        others: the images that are planned together with them.
    """

    picked: Mapping[str, ImageArguments]
    others: Mapping[str, ImageArguments]


def read_tables(specs: Iterable[str]) -> BatchTables:
    """Read the tables of ``specs``, each ``FILE`` or ``FILE#NAME``. Each file is read once.

    An image that two of them name is one.

    Raises:
        InputError: a spec file is missing, or cannot be read.
        FormatError: a spec file does not follow its format.
        InvalidArgument: there is no such table, an argument is unknown, or an image has no name.

    """
    files: dict[str, Mapping[str, SpecTable]] = {}
    picked: set[str] = set()
    for spec in specs:
        file, _, name = spec.partition("#")
        file = str(Path(file))
        if file not in files:
            files[file] = load_all(file)
        picked.update(table.subject for table in pick_tables(file, name, files[file]).values())
    tables = [table for file in files.values() for table in file.values()]
    counts = Counter(table.name for table in tables)
    named = {_name_table(table, counts): table for table in tables}
    return BatchTables(
        {name: table for name, table in named.items() if table.subject in picked},
        {name: table for name, table in named.items() if table.subject not in picked},
    )


def load_specs(specs: Specs, given: ImageArguments) -> BatchArguments:
    """Return the arguments of all images.

    Args:
        specs: spec files, or the arguments of images by names for them.
        given: the arguments for all images. They take precedence over those of spec files; those of an image that
            ``specs`` has itself take precedence over them.

    Raises:
        InvalidArgument: ``specs`` has another type, an argument in a spec file is wrong, or what `read_tables` raises.
        InputError: as `read_tables`.
        FormatError: as `read_tables`.

    """
    if isinstance(specs, Mapping):
        return BatchArguments({name: {**given, **table} for name, table in _check_tables(specs).items()}, {})
    if not isinstance(specs, (str, os.PathLike, Iterable)):
        raise InvalidArgument("specs", short_repr(specs), "spec files, or the arguments of images by names for them")
    files = [specs] if isinstance(specs, (str, os.PathLike)) else specs
    tables = read_tables(os.fspath(file) for file in files)
    replacing: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "platforms" in replacing:  # they are compared with those of the tables
        replacing["platforms"] = ARGUMENTS["platforms"].parse_given("platforms", replacing["platforms"])

    def complete(table: SpecTable) -> Any:
        return {**table.parse_under(replacing), **replacing}

    picked, others = ({name: complete(table) for name, table in group.items()} for group in tables)
    return BatchArguments(picked, others)


def _name_table(table: SpecTable, counts: Mapping[str, int]) -> str:
    """Return the name of an image in messages; ``counts`` says how many tables have each name.

    Raises `InvalidArgument` if neither the table nor its arguments have a name, which the image has in a registry.
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
