"""Where ``lamina build`` writes the images of a spec file."""

from __future__ import annotations

from collections.abc import Collection

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.system.output import is_layout

_PLACEHOLDER = "{name}"


def choose_outputs(output: str, tables: Collection[str]) -> dict[str, str]:
    """Return the output of each image, by the name of its table in the spec file.

    ``{name}`` in ``output`` stands for the table's name. Without it, several images go to one OCI layout.

    Args:
        output: the value of ``-o``.
        tables: the names of the tables, which are empty for an image without a table.

    Raises:
        InvalidArgument: there are several images for one file, or a table's name cannot be part of a file name.

    """
    has_placeholder = _PLACEHOLDER in output and any(tables)
    if len(tables) > 1 and not has_placeholder and (output == "-" or not is_layout(output)):
        raise InvalidArgument(
            "output",
            f"{short_repr(output)} for {len(tables)} images",
            "a folder that ends in /, or a file name with {name} in it",
            hint="-o images/ is one OCI layout of all images, -o 'images/{name}.tar.gz' is a file for each",
        )
    if not has_placeholder:
        return dict.fromkeys(tables, output)
    for table in tables:
        if "/" in table or "\0" in table or table in (".", ".."):
            raise InvalidArgument("output", f"{{name}} for the table {short_repr(table)}", "a name without /")
    return {table: output.replace(_PLACEHOLDER, table) for table in tables}
