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
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lamina.errors import Error, FormatError, InvalidArgument, error_context
from lamina.formats.json_toml import name_type, parse_json, parse_toml
from lamina.inputs.arguments import ARGUMENTS
from lamina.messages.redaction import join_names, short_repr
from lamina.messages.suggestions import format_suggestion
from lamina.system.documents import MAX_BYTES, read_document

_Table = TypeVar("_Table")

# Python parses a megabyte of TOML in about a second, and JSON at a hundred times that rate.
MAX_TOML_SIZE = 1 << 20
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


class SpecTable(NamedTuple):
    """The table of one image.

    Attributes:
        subject: what errors about it begin with: ``FILE#NAME``, or ``FILE`` for a file without tables.
        arguments: the unchecked arguments, by their Python names. Relative paths in them are joined to the folder of
            the file.
        keys: the key that gave each argument, by its Python name.

    """

    subject: str
    arguments: dict[str, Any]
    keys: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of the table; empty for a file without tables."""
        return self.subject.partition("#")[2]

    def parse(self, left_out: Collection[str] = ()) -> dict[str, Any]:
        """Return the checked arguments; those in ``left_out`` are neither checked nor returned.

        Raises:
            InvalidArgument: a value is wrong; the message names the table and the key.
            InputError: the file of a pipeline is missing, or cannot be read.
            FormatError: the file of a pipeline cannot be parsed.

        """
        with error_context(self.subject, Error):
            return {
                name: ARGUMENTS[name].parse_given(self.keys[name], value)
                for name, value in self.arguments.items()
                if name not in left_out
            }

    def parse_under(self, given: Mapping[str, Any], added: Collection[str] = ()) -> dict[str, Any]:
        """Return the checked arguments that ``given`` does not replace.

        Platforms in ``given`` replace what the table says about platforms and the architecture.

        Args:
            given: the checked arguments that take precedence over those of the table.
            added: those that add to the table's and replace none.

        Raises what `parse` raises.
        """
        left_out = given.keys() - frozenset(added)
        platforms = given.get("platforms")
        if platforms:
            left_out |= {"architecture"}
        parsed = self.parse(left_out)
        if platforms and "roots" in parsed:
            parsed["roots"] = tuple(pair for pair in parsed["roots"] if pair[0] in platforms)
        return parsed


def load(table_name: str) -> SpecTable:
    """Read the table of one image.

    Args:
        table_name: ``FILE#NAME``; ``#NAME`` is optional if the file has one image.

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
    (table,) = images.values()
    return table


def load_all(file_or_table: str) -> dict[str, SpecTable]:
    """Read the table of the image ``FILE#NAME``, or those of all images of ``FILE``.

    Returns:
        The tables by their names; the name is empty for an image without a table. There is at least one.

    Raises what `load` raises.
    """
    file, _, name = file_or_table.partition("#")
    path = Path(file)
    tables = read_tables(path)
    if not tables:
        raise InvalidArgument(path, "no image", "a table of arguments for each image", hint=_EXAMPLE)
    return {key: _name_arguments(path, key, table) for key, table in pick_tables(file, name, tables).items()}


def pick_tables(file: str, name: str, tables: Mapping[str, _Table]) -> dict[str, _Table]:
    """Return those of the ``tables`` of a file that ``FILE#NAME`` names: one, or all for an empty name.

    Raises `InvalidArgument` if there is no such table.
    """
    if not name:
        return dict(tables)
    if name not in tables:
        hint = format_suggestion(name, tables)
        if "" in tables:
            hint = "leave the name out: the file describes one image, without a table"
        raise InvalidArgument(Path(file), f"image {short_repr(name)}", f"one of {join_names(tables)}", hint=hint)
    return {name: tables[name]}


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
    data = read_document(path, str(path), "a spec file", limit=MAX_BYTES if is_json else MAX_TOML_SIZE)
    parse = parse_json if is_json else parse_toml
    document: Any = parse(data, str(path), "TOML, or JSON in a .json file")
    if not isinstance(document, dict):
        raise FormatError(path, name_type(document), "one table for each image")
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


def _name_arguments(path: Path, table_name: str, table: Mapping[str, Any]) -> SpecTable:
    """Return the table called ``table_name``, with its arguments by their Python names."""
    subject = f"{path}#{table_name}" if table_name else str(path)
    keys: dict[str, str] = {}
    for key in table:
        argument = _argument_name(subject, key)
        if argument in keys:
            raise InvalidArgument(subject, f"argument {short_repr(key)} after another spelling of it", "one")
        keys[argument] = key
    arguments = {
        name: rebase(table[key], path.parent) if (rebase := ARGUMENTS[name].rebase) else table[key]
        for name, key in keys.items()
    }
    return SpecTable(subject, arguments, keys)


def _find_argument(key: str) -> str | None:
    """Return the Python name of the argument that ``key`` spells, or None if there is no such argument."""
    snake_case = _to_snake_case(key)
    name = _NAMES.get(snake_case, snake_case)
    return name if name in ARGUMENTS else None


def _argument_name(subject: str, key: str) -> str:
    name = _find_argument(key)
    if name == "sandbox" or _to_snake_case(key) == "no_sandbox":
        raise InvalidArgument(
            subject,
            f"argument {short_repr(key)}",
            "a spec file that does not turn the sandbox off",
            hint="only the command line can: lamina build --no-sandbox",
        )
    if name is None or name not in _ALLOWED:
        hint = format_suggestion(key, _SPELLINGS) or "lamina build --help lists the arguments, as options"
        raise InvalidArgument(subject, f"argument {short_repr(key)}", "an argument of an image", hint=hint)
    return name
