"""The spec file: images described in TOML or JSON, one table each.

Invariant: a table can express only what the command line can. Its keys are dockerTools' names or Python's.

    [hello]
    contents = ["hello"]
    config.Cmd = ["/bin/hello"]
    maxLayers = 20
    tree = [{ dir = "/tmp:1777" }]
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_json, parse_toml
from lamina.inputs.arguments import ARGUMENTS
from lamina.messages.redaction import join_names, short_repr
from lamina.system.documents import MAX_BYTES, read_document

# Python parses a megabyte of TOML in about a second, and JSON at a hundred times that rate.
_MAX_TOML_SIZE = 1 << 20
_ALLOWED = tuple(name for name, declared in ARGUMENTS.items() if declared.in_spec_file)


def _to_snake_case(key: str) -> str:
    return re.sub("(?<=[a-z])([A-Z])", lambda found: "_" + found[1].lower(), key)


_NAMES = {
    _to_snake_case(key): name
    for name, declared in ARGUMENTS.items()
    for key in (name, declared.key or name, *declared.old_names)
}


def load(table_name: str) -> dict[str, Any]:
    """Read the arguments of one image.

    Args:
        table_name: ``FILE#NAME``; ``#NAME`` is optional if the file has one table.

    Returns:
        The arguments by their Python names, unchecked. Relative paths in them start at the file; they are joined to its
        folder.

    Raises:
        InputError: the file is missing, or cannot be read.
        FormatError: the file is neither TOML nor JSON.
        InvalidArgument: there is no such table, or an argument is unknown or there twice.

    """
    file, _, name = table_name.partition("#")
    path = Path(file)
    tables = read_tables(path)
    if not name and len(tables) == 1:
        (name,) = tables
    if name not in tables:
        raise InvalidArgument(path, f"image {short_repr(name)}", f"one of {join_names(tables)}")
    table = tables[name]
    if not isinstance(table, dict):
        raise FormatError(f"{path}: {name}", type(table).__name__, "a table of arguments")
    arguments: dict[str, Any] = {}
    for key, value in table.items():
        argument = _argument_name(path, key)
        if argument in arguments:
            raise InvalidArgument(path, f"argument {short_repr(key)} after another spelling of it", "one")
        arguments[argument] = value
    return {
        name: rebase(value, path.parent) if (rebase := ARGUMENTS[name].rebase) else value
        for name, value in arguments.items()
    }


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of a spec file by their names, unchecked. Raises `InputError`, `FormatError`."""
    is_json = path.suffix == ".json"
    data = read_document(path, str(path), "a spec file", limit=MAX_BYTES if is_json else _MAX_TOML_SIZE)
    parse = parse_json if is_json else parse_toml
    tables: Any = parse(data, str(path), "TOML, or JSON in a .json file")
    if not isinstance(tables, dict):
        raise FormatError(path, type(tables).__name__, "one table for each image")
    return tables


def _argument_name(path: Path, key: str) -> str:
    snake_case = _to_snake_case(key)
    name = _NAMES.get(snake_case, snake_case)
    if name in ("sandbox", "no_sandbox"):
        raise InvalidArgument(
            path,
            f"argument {short_repr(key)}",
            "no spec file to say whether scripts are confined",
            hint="--no-sandbox on the command line says that it is wanted",
        )
    if name not in _ALLOWED:
        raise InvalidArgument(path, f"argument {short_repr(key)}", f"one of {', '.join(_ALLOWED)}")
    return name
