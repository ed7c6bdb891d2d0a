"""The spec file: images described in TOML or JSON, one table each.

Invariant: a table can express only what the command line can. Its keys are dockerTools' names or Python's.

    [hello]
    contents = ["hello"]
    config.Cmd = ["/bin/hello"]
    maxLayers = 20
    tree = [{ dir = "/tmp:1777" }]
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_json, parse_toml
from lamina.inputs import pipelinefile
from lamina.inputs.nix_build import needs_nix_build
from lamina.inputs.old_arguments import IMAGE_ARGUMENTS
from lamina.inputs.spec import ImageArguments
from lamina.layering import STRATEGIES
from lamina.messages.redaction import join_names, short_repr
from lamina.system.documents import MAX_BYTES, read_document

# dockerTools' names that differ from Python's by more than camel case.
_ALIASES = {"layering_pipeline": "layering", "include_nix_dB": "include_nix_db", **IMAGE_ARGUMENTS}
# Python parses a megabyte of TOML in about a second, and JSON at a hundred times that rate.
_MAX_TOML_SIZE = 1 << 20
# A spec file can come from another person, so it may neither set where programs are looked for nor disable the sandbox.
_ALLOWED = tuple(name for name in ImageArguments.__annotations__ if name not in ("search_path", "sandbox"))


def load(table_name: str) -> dict[str, Any]:
    """Read the arguments of one image.

    Args:
        table_name: ``FILE#NAME``; ``#NAME`` is optional if the file has one table.

    Returns:
        The arguments by their Python names, unchecked. Relative paths in ``contents``, ``store``, ``from_image``,
        ``embedded_store``, ``layer_cache``, ``layering`` and the sources of files start at the file; they are joined to
        its folder.

    Raises:
        NotFound: the file is missing.
        FormatError: the file is neither TOML nor JSON.
        InvalidArgument: there is no such table, or an argument is unknown or there twice.

    """
    file, _, name = table_name.partition("#")
    path = Path(file)
    tables = read_tables(path)
    if not name and len(tables) == 1:
        (name,) = tables
    if name not in tables:
        raise InvalidArgument(path, got=f"image {short_repr(name)}", expected=f"one of {join_names(tables)}")
    table = tables[name]
    if not isinstance(table, dict):
        raise FormatError(f"{path}: {name}", got=type(table).__name__, expected="a table of arguments")
    arguments: dict[str, Any] = {}
    for key, value in table.items():
        argument = _argument_name(path, key)
        if argument in arguments:
            raise InvalidArgument(path, got=f"argument {short_repr(key)} after another spelling of it", expected="one")
        arguments[argument] = value
    return _rebase_paths(arguments, path.parent)


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of a spec file by their names, unchecked. Raises `StoreError`, `FormatError`."""
    is_json = path.suffix == ".json"
    data = read_document(path, str(path), "a spec file", limit=MAX_BYTES if is_json else _MAX_TOML_SIZE)
    parse = parse_json if is_json else parse_toml
    tables: Any = parse(data, str(path), "TOML, or JSON in a .json file")
    if not isinstance(tables, dict):
        raise FormatError(path, got=type(tables).__name__, expected="one table for each image")
    return tables


def _argument_name(path: Path, key: str) -> str:
    name = re.sub("(?<=[a-z])([A-Z])", lambda found: "_" + found[1].lower(), key)
    name = _ALIASES.get(name, name)
    if name in ("sandbox", "no_sandbox"):
        raise InvalidArgument(
            path,
            got=f"argument {short_repr(key)}",
            expected="no spec file to say whether scripts are confined",
            hint="--no-sandbox on the command line says that it is wanted",
        )
    if name not in _ALLOWED:
        raise InvalidArgument(path, got=f"argument {short_repr(key)}", expected=f"one of {', '.join(_ALLOWED)}")
    return name


def _rebase_paths(arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    store = arguments.get("store")
    if isinstance(store, str | list):
        stores = [store] if isinstance(store, str) else store
        arguments["store"] = [_rebase_path(item, folder) for item in stores]
    contents = arguments.get("contents")
    if isinstance(contents, str | list):
        roots = [contents] if isinstance(contents, str) else contents
        arguments["contents"] = [_rebase_root(root, folder) for root in roots]
    if isinstance(arguments.get("from_image"), str):
        arguments["from_image"] = _rebase_path(arguments["from_image"], folder)
    for name in ("embedded_store", "layer_cache"):
        if isinstance(arguments.get(name), str):
            arguments[name] = _rebase_path(arguments[name], folder)
    layering = arguments.get("layering")
    if isinstance(layering, str) and layering not in STRATEGIES and pipelinefile.looks_like_file(layering, folder):
        arguments["layering"] = _rebase_path(layering, folder)
    elif isinstance(layering, list):
        arguments["layering"] = _rebase_links(layering, folder)
    if isinstance(arguments.get("tree"), list):
        arguments["tree"] = [_rebase_source(entry, folder) for entry in arguments["tree"]]
    return arguments


def _rebase_root(root: Any, folder: Path) -> Any:
    """Rebase a ROOT that is a relative path, such as ``./result`` or ``.#app``; return other ROOTs unchanged."""
    path, hash_sign, attribute = root.partition("#") if isinstance(root, str) else ("", "", "")
    is_path = path.startswith(".") if hash_sign else "/" in path or path.endswith(".nix")
    if not is_path or path.startswith("/"):
        return root
    return f"{os.path.abspath(folder / path)}{hash_sign}{attribute}" if needs_nix_build(root) else str(folder / path)


def _rebase_path(path: Any, folder: Path) -> Any:
    return str(folder / path) if isinstance(path, str) and "://" not in path else path


def _rebase_links(pipeline: Any, folder: Path) -> Any:
    """Rebase the relative links of a pipeline, such as ``./result``."""
    match pipeline:
        case str() if "/" in pipeline and not pipeline.startswith("/"):
            return os.path.abspath(folder / pipeline)
        case list():
            return [_rebase_links(item, folder) for item in pipeline]
        case dict():
            return {key: _rebase_links(item, folder) for key, item in pipeline.items()}
    return pipeline


def _rebase_source(entry: Any, folder: Path) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        return entry
    path, _, source = entry["file"].partition("=")
    return {**entry, "file": f"{path}={folder / source}"} if source else entry
