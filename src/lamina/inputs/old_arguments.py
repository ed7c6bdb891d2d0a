"""Arguments that have a new name; the old name still works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.errors import InvalidArgument


def rename_old_arguments(arguments: Mapping[str, Any], new_names: Mapping[str, str]) -> dict[str, Any]:
    """Return ``arguments`` by their new names; raise `InvalidArgument` if an old name and its new one are both given.

    Args:
        arguments: the values by name.
        new_names: the new name of each old one.

    """
    for old in new_names.keys() & arguments:
        if new_names[old] in arguments:
            raise InvalidArgument(old, f"it and {new_names[old]}", "only one of them: it is the old name of the other")
    return {new_names.get(name, name): value for name, value in arguments.items()}
