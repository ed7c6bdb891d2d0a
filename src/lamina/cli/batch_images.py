"""The images of a batch: the tables of several spec files, some of which the user picks with ``FILE#NAME``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina.cli.image_options import NO_CONTAINER_OPTIONS, ImageOptions

if TYPE_CHECKING:
    from lamina.inputs.arguments import ImageArguments
    from lamina.inputs.specfile import SpecTable


class BatchImages(NamedTuple):
    """The arguments of images, by the names of their tables, or ``FILE#NAME`` where two files have a name.

    Attributes:
        picked: the images that are built.
        others: the other images of the same files, which are planned together with them.
    """

    picked: dict[str, ImageArguments]
    others: dict[str, ImageArguments]


def load_images(specs: Sequence[str], given: Mapping[str, Any]) -> BatchImages:
    """Return the images of ``specs``, each ``FILE`` or ``FILE#NAME``.

    Args:
        specs: the spec files. An image that two of them name is one.
        given: the arguments that options gave, which hold for every image.

    Raises:
        InvalidArgument: there is no such table, an image has no name, or an argument is wrong; the message names the
            table.
        InputError: a file is missing, or cannot be read.
        FormatError: a file is neither TOML nor JSON.

    """
    from lamina.inputs.batch_specs import name_table

    tables, picked = _read_tables(specs)
    counts = Counter(table.name for table in tables.values())
    images = BatchImages({}, {})
    for subject, table in tables.items():
        name = name_table(table, counts)
        options = ImageOptions(given, subject.partition("#")[0], NO_CONTAINER_OPTIONS, None)
        (images.picked if subject in picked else images.others)[name] = options.merge(table)
    return images


def _read_tables(specs: Sequence[str]) -> tuple[dict[str, SpecTable], set[str]]:
    """Return all tables of the files by their subjects, and the subjects of those that are picked."""
    from lamina.inputs import specfile

    files: dict[str, dict[str, SpecTable]] = {}
    picked: set[str] = set()
    for spec in specs:
        file, _, name = spec.partition("#")
        if file not in files:
            files[file] = specfile.load_all(file)
        chosen = [files[file][name]] if name in files[file] and name else specfile.load_all(spec).values()
        picked.update(table.subject for table in (chosen if name else files[file].values()))
    return {table.subject: table for tables in files.values() for table in tables.values()}, picked
