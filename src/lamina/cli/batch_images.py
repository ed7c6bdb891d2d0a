"""The images of a batch: the tables of spec files, with the options that hold for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.cli.image_options import NO_CONTAINER_OPTIONS, ImageOptions

if TYPE_CHECKING:
    from lamina.inputs.batch_specs import BatchArguments
    from lamina.inputs.specfile import SpecTable


def load_images(specs: Sequence[str], given: Mapping[str, Any]) -> BatchArguments:
    """Return the images of ``specs``, each ``FILE`` or ``FILE#NAME``.

    Args:
        specs: the spec files.
        given: the arguments that options gave, which hold for every image.

    Raises:
        InvalidArgument: an argument is wrong, or what `read_tables` raises.
        InputError: as `read_tables`.
        FormatError: as `read_tables`.

    """
    from lamina.inputs.batch_specs import BatchArguments, read_tables

    def complete(table: SpecTable) -> Any:
        return ImageOptions(given, table.subject.partition("#")[0], NO_CONTAINER_OPTIONS, None).merge(table)

    picked, others = ({name: complete(table) for name, table in group.items()} for group in read_tables(specs))
    return BatchArguments(picked, others)
