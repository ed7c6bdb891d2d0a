"""The spec file: images described in TOML or JSON, one table each.

The keys of a table are the names of arguments, as dockerTools or Python spells them. A file with one image may also
have these keys at its top level, without a table.

    [hello]
    contents = ["hello"]
    config.Cmd = ["/bin/hello"]
    maxLayers = 20
    tree = [{ dir = "/tmp:1777" }]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_json, parse_toml
from lamina.inputs.arguments import ARGUMENTS
from lamina.messages.redaction import join_names, short_repr
from lamina.messages.suggestions import format_suggestion
from lamina.system.documents import MAX_BYTES, read_document

# Python parses a megabyte of TOML in about a second, and JSON at a hundred times that rate.
_MAX_TOML_SIZE = 1 << 20
# JSON Schema, "$schema"; editors read it.
_SCHEMA_KEY = "$schema"
_EXAMPLE = 'write [hello], and below it contents = ["hello"]'
_ALLOWED = tuple(name for name, declared in ARGUMENTS.items() if declared.in_spec_file)

_SPELLINGS = (*_ALLOWED, *(ARGUMENTS[name].key for name in _ALLOWED if ARGUMENTS[name].key))


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
        table_name: ``FILE#NAME``; ``#NAME`` is optional if the file has one image.

    Returns:
        The unchecked arguments, by their Python names. Relative paths in them are joined to the folder of the file.

    Raises:
        InputError: the file is missing, or cannot be read.
        FormatError: the file is neither TOML nor JSON.
        InvalidArgument: there is no such table, or an argument is unknown or given twice.

    """
    images = load_all(table_name)
    if len(images) > 1:
        file = table_name.partition("#")[0]
        names = join_names([f"{file}#{name}" for name in images])
        raise InvalidArgument(file, f"{len(images)} images", "one of them", hint=f"say which: {names}")
    (arguments,) = images.values()
    return arguments


def load_all(file_or_table: str) -> dict[str, dict[str, Any]]:
    """Read the arguments of the image ``FILE#NAME``, or those of all images of ``FILE``.

    Returns:
        The arguments of each image as `load` returns them, by the name of its table, which is empty for an image
        without a table. There is at least one image.

    Raises what `load` raises.
    """
    file, _, name = file_or_table.partition("#")
    path = Path(file)
    tables = read_tables(path)
    if not tables:
        raise InvalidArgument(path, "no image", "a table of arguments for each image", hint=_EXAMPLE)
    if name and name not in tables:
        hint = format_suggestion(name, tables)
        if "" in tables:
            hint = "leave the name out: the file describes one image, without a table"
        raise InvalidArgument(path, f"image {short_repr(name)}", f"one of {join_names(tables)}", hint=hint)
    return {key: _name_arguments(path, table) for key, table in tables.items() if key == name or not name}


def find_key(file_or_table: str, argument: str) -> str | None:
    """Return the first key of ``FILE#NAME``, or of ``FILE``, that gives ``argument``; None if there is none.

    Raises what `load` raises.
    """
    file, _, name = file_or_table.partition("#")
    tables = [table for key, table in read_tables(Path(file)).items() if key == name or not name]
    return next((key for table in tables for key in table if _find_argument(key) == argument), None)


def read_tables(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the tables of a spec file by their names, unchecked.

    A file with one image may have its arguments at the top level; its table has an empty name. The key ``$schema``,
    by which editors find the schema of a JSON file, is left out.

    Raises:
        InputError: the file is missing, or cannot be read.
        FormatError: the file is neither TOML nor JSON.
        InvalidArgument: there are tables of images beside arguments.

    """
    is_json = path.suffix == ".json"
    data = read_document(path, str(path), "a spec file", limit=MAX_BYTES if is_json else _MAX_TOML_SIZE)
    parse = parse_json if is_json else parse_toml
    document: Any = parse(data, str(path), "TOML, or JSON in a .json file")
    if not isinstance(document, dict):
        raise FormatError(path, type(document).__name__, "one table for each image")
    tables = {key: value for key, value in document.items() if key != _SCHEMA_KEY}
    plain = next((key for key, value in tables.items() if not isinstance(value, dict)), None)
    if plain is None:
        return tables
    image = next((key for key, value in tables.items() if isinstance(value, dict) and not _find_argument(key)), None)
    if image is not None:
        raise InvalidArgument(
            path,
            f"{short_repr(plain)} beside the table {short_repr(image)}",
            "every argument in the table of its image",
            hint=f"put {plain} below [{image}]",
        )
    return {"": tables}


def _name_arguments(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a table by their Python names, with relative paths joined to the file's folder."""
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


def _find_argument(key: str) -> str | None:
    """Return the Python name of the argument that ``key`` spells, or None if there is no such argument."""
    snake_case = _to_snake_case(key)
    name = _NAMES.get(snake_case, snake_case)
    return name if name in ARGUMENTS else None


def _argument_name(path: Path, key: str) -> str:
    name = _find_argument(key)
    if name == "sandbox" or _to_snake_case(key) == "no_sandbox":
        raise InvalidArgument(
            path,
            f"argument {short_repr(key)}",
            "a spec file that does not turn the sandbox off",
            hint="only the command line can: lamina build --no-sandbox",
        )
    if name is None or name not in _ALLOWED:
        hint = format_suggestion(key, _SPELLINGS) or "lamina build --help lists the arguments, as options"
        raise InvalidArgument(path, f"argument {short_repr(key)}", "an argument of an image", hint=hint)
    return name
