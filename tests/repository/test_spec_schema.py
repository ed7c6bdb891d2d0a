"""The JSON Schema of spec files is that of the table of arguments, and agrees with what lamina accepts."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.binary_cache import KEY
from tests.support.paths import PACKAGE, REPOSITORY

from lamina.errors import Error
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.platforms import expand_platforms
from lamina.inputs.spec import Spec
from lamina.inputs.specfile import load, load_all

FILE = PACKAGE / "schemas/spec.schema.json"
SCHEMA: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def test_the_schema_is_that_of_the_table() -> None:
    """After a change of an argument, ``script/spec-schema`` writes it again."""
    script = runpy.run_path(str(REPOSITORY / "script/spec-schema"))
    assert FILE.read_text(encoding="utf-8") == script["make_schema"]()


def test_the_schema_describes_every_argument_of_a_spec_file_in_both_spellings() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    keys = SCHEMA["definitions"]["image"]["properties"]
    for name, declared in ARGUMENTS.items():
        spellings = {name, declared.key or re.sub("_([a-z])", lambda found: found[1].upper(), name)}
        assert (spellings <= keys.keys()) is declared.in_spec_file
        for spelling in spellings if declared.in_spec_file else ():
            described = SCHEMA["definitions"][keys[spelling]["$ref"].rpartition("/")[2]]
            assert described["description"].endswith(".")
            assert declared.default is None or described["default"] == json.loads(json.dumps(declared.default))


def _examples() -> list[str]:
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)]
    return [block.replace("cache.example-1:…", str(KEY.public)) for block in blocks]


@pytest.mark.parametrize("text", _examples())
def test_the_examples_of_the_docs_follow_the_schema(text: str, tmp_path: Path) -> None:
    assert list(VALIDATOR.iter_errors(tomllib.loads(text))) == []
    (tmp_path / "lamina.toml").write_text(text)
    for table in load_all(str(tmp_path / "lamina.toml")).values():
        assert all(map(Spec.parse, expand_platforms(table.arguments).values()))


Table = dict[str, Any]
VALID_TABLES: list[Table] = [
    {"contents": "hello", "closure": ["/nix/store/x"], "store": "https://cache.example", "offline": True},
    {"config": {"Cmd": ["x"], "Env": None, "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"}, "New": 5}},
    {"config": {"Healthcheck": {"Test": ["CMD"], "Interval": "30s", "Retries": 3}, "Tty": True}},
    {"config": None},
    {"architecture": "aarch64-linux", "created": "@0"},
    {"architecture": "linux/arm/v7", "created": "20260131T12"},
    {"architecture": "ARM64", "maxLayers": 2},
    {"layeringPipeline": [["popularity_contest"]], "name": "a/b", "tag": "v1.0", "architecture": "arm/v7"},
    {"layering": "popularity", "created": "now", "mtime": "2026-01-31", "uid": "1000", "gid": 5},
    {"maxUnpackedSize": "1.5GiB", "time_limit": 2.5, "jobs": 2, "layerCompression": "zstd:19"},
    {"max_unpacked_size": 5, "time_limit": None, "jobs": None, "compressor": None, "name": None, "tag": None},
    {"extras": "nss, tmp", "inherit": ["Cmd", "User"], "compressor": "gz", "verify": False},
    {"extras": [], "add_user": ["app:1000", "web:1:2:/srv", "db:5::/x"], "includeNixDB": True},
    {"addUser": "app:1000", "tree": [{"dir": "/tmp:1777"}, {"file": "/a=b"}, {"xattr": "/a:user.x=00"}]},
    {"extraCommands": "mkdir x", "ledger": "file", "embeddedStore": "folder", "channel": "nixos-25.11"},
]
VALID: list[Table] = [
    {"$schema": "spec.schema.json", "image": {}},
    {"$schema": "spec.schema.json", "contents": ["hello"], "config": {"User": "app"}},
    {"one": {"max_layers": 5}, "two": {"maxLayers": 5}},
    *({"image": table} for table in VALID_TABLES),
]


@pytest.mark.parametrize("document", VALID, ids=str)
def test_a_valid_spec_file_follows_the_schema(document: dict[str, Any], tmp_path: Path) -> None:
    assert list(VALIDATOR.iter_errors(document)) == []
    (tmp_path / "lamina.json").write_text(json.dumps(document))
    for table in load_all(str(tmp_path / "lamina.json")).values():
        assert all(map(Spec.parse, expand_platforms(table.arguments).values()))


INVALID_TABLES: list[Table] = [
    {"content": ["hello"]},
    {"max-layers": 5},
    {"sandbox": False},
    {"searchPath": "/bin"},
    {"$schema": "x"},
    {"contents": 5},
    {"contents": [5]},
    {"maxLayers": "5"},
    {"maxLayers": 1.5},
    {"includeStorePaths": "true"},
    {"config": ["a"]},
    {"config": {"Cmd": "hello"}},
    {"config": {"ExposedPorts": {"80/tcp": 5}}},
    {"config": {"Healthcheck": {"Test": "x"}}},
    {"layering": "best"},
    {"name": 5},
    {"tag": "a b"},
    {"created": 5},
    {"created": "x"},
    {"mtime": "tomorrow"},
    {"architecture": "sparc"},
    {"architecture": "windows/amd64"},
    {"uid": -1},
    {"uid": "root"},
    {"time_limit": 0},
    {"maxUnpackedSize": "5 bytes"},
    {"extras": "nss,cert"},
    {"extras": ["cert"]},
    {"inherit": ["cmd"]},
    {"add_user": "app"},
    {"addUser": [{"name": "app"}]},
    {"compressor": "xz"},
    {"layerCompression": "xz"},
    {"jobs": 0},
    {"tree": {"dir": "/tmp"}},
    {"tree": [{"dir": "/tmp", "file": "/a=b"}]},
    {"tree": [{"folder": "/tmp"}]},
    {"from_image": ""},
]
INVALID: list[Table] = [
    {},
    {"$schema": "spec.schema.json"},
    {"contents": ["hello"], "maxLayers": "5"},
    {"tag": "1", "hello": {"contents": ["hello"]}},
    *({"image": table} for table in INVALID_TABLES),
]


@pytest.mark.parametrize("document", INVALID, ids=str)
def test_an_invalid_spec_file_does_not_follow_the_schema(document: dict[str, Any], tmp_path: Path) -> None:
    assert not VALIDATOR.is_valid(document)
    (tmp_path / "lamina.json").write_text(json.dumps(document))
    with pytest.raises(Error):
        Spec.parse(load(str(tmp_path / "lamina.json")).arguments)


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"web": {"content": ["hello"]}}, ["web"], "'content' was unexpected"),
        ({"content": ["hello"]}, [], "'content' was unexpected"),
        ({"contents": ["hello"], "max_layers": 0}, ["max_layers"], "0 is less than the minimum of 1"),
        ({"web": {"architecture": "sparc"}}, ["web", "architecture"], "'sparc' does not match"),
        ({}, [], "should be non-empty"),
    ],
    ids=str,
)
def test_an_error_of_the_schema_names_the_wrong_key(document: Table, path: list[str], message: str) -> None:
    (error,) = VALIDATOR.iter_errors(document)
    assert list(error.absolute_path) == path
    assert message in error.message
