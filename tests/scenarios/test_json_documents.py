"""Every verb's ``--json`` follows the JSON Schema that is in the package, and has no key that the schema lacks."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from tests.support.cli_parameters import leaf_commands
from tests.support.embedded_store import KEY, ROOT, fetch_example
from tests.support.engine_programs import REMOTE_DOCKER, install_program
from tests.support.fake_nix_store import run
from tests.support.image_files import LayoutBuilder, layer
from tests.support.json_schemas import check_document, load_schema
from tests.support.paths import EXAMPLES, PACKAGE, REPOSITORY
from tests.support.registry import add_image, serve_registry

from lamina.cli.group import group

# What each verb is run with, in this order; {here} is the folder of the test, {registry} the host of a registry.
RUNS = {
    "stream": [ROOT, "--store", "store", "-t", "hello:1"],
    "build": [ROOT, "--store", "store", "-t", "hello:1", "-o", "layout/", "--layer-compression", "gzip"],
    "push": [ROOT, "--store", "store", "--to", "{registry}/hello:1"],
    "load": [ROOT, "--store", "store", "--into", "docker"],
    "batch": ["fleet.toml", "--store", "store", "--on", "local:1", "--to", "{registry}/fleet"],
    "plan": [ROOT, "--store", "store", "--max-layers", "3"],
    "script": [ROOT, "--store", "store", "-o", "script"],
    "inspect": ["image.tar"],
    "diff": ["image.tar", "layout#hello:1"],
    "verify": ["image.tar", "--store", "store"],
    "pull": ["{registry}/me/app:1", "-o", "pulled/"],
    "sbom": [ROOT, "--store", "store", "-o", "sbom.json"],
    "lock": ["--spec", "base.toml"],
    "merge": ["image.tar", "-o", "merged.tar"],
    "export": ["image.tar", "-o", "root.tar"],
    "layout prune": ["layout", "--keep-last", "1"],
    "store fetch": [ROOT, "--store", f"file://{EXAMPLES}/cache", "--trusted-key", KEY],
    "store add": ["file", "--to", "store"],
    "store ls": ["--store", "store"],
    "store info": [ROOT, "--store", "store"],
    "store verify": ["--store", "store"],
    "store gc": [ROOT, "--dry-run", "--store", "store"],
    "store export": [ROOT, "--store", "store", "-o", "export"],
    "store import": ["export", "--to", "imported"],
    "store key generate": ["a-1", "-o", "key"],
    "store key public": ["key"],
    "store sign": ["--all", "--key", "key", "--store", "store"],
    "store push": [ROOT, "--store", "store", "--to", "file://{here}/cache"],
    "cache info": [],
    "cache prune": ["--max-size", "1K"],
    "cache clean": [],
}
SCRIPT: dict[str, Any] = runpy.run_path(str(REPOSITORY / "script/schemas"))


def run_verb(verb: str, *arguments: str) -> Any:
    """Return the document that a verb prints."""
    ran = run(*verb.split(), *arguments, "--json")
    assert ran.code == 0, ran.stderr
    return json.loads(ran.stderr if verb == "stream" else ran.stdout)


def has_json(command: click.Command) -> bool:
    """Return whether a command prints a document with ``--json``; stdout of ``run`` is that of a container."""
    return command.name != "run" and any(parameter.name == "as_json" for parameter in command.params)


def test_the_document_of_every_verb_follows_its_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    programs = install_program(tmp_path / "bin", "docker", REMOTE_DOCKER)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    fetch_example(Path("store"))
    Path("store/nar/stray").write_text("x")
    Path("file").write_text("x")
    Path("fleet.toml").write_text(f'[app]\ncontents = ["{ROOT}"]\n')
    assert run("build", ROOT, "--store", "store", "-o", "image.tar").code == 0
    for tag in "12":
        assert run("build", ROOT, "--store", "store", "--tag", tag, "-o", "layout/").code == 0
    with serve_registry() as registry:
        image = LayoutBuilder()
        add_image(registry, image, image.image([layer("x")]))
        Path("base.toml").write_text(f'from_image = "{registry.host}/me/app:1"')
        for verb, words in RUNS.items():
            places = {"here": str(tmp_path), "registry": registry.host}
            document = run_verb(verb, *(word.format(**places) for word in words))
            check_document(verb, document)
            assert next(iter(document)) == "version"


def test_every_verb_has_a_run_and_a_schema() -> None:
    verbs = {" ".join(names) for names, command in leaf_commands(group) if has_json(command)}
    assert set(RUNS) == verbs
    assert {f"{verb.replace(' ', '-')}.schema.json" for verb in {*verbs, "error"}} == {
        file.name for file in (PACKAGE / "schemas").iterdir() if file.name != "spec.schema.json"
    }


def test_the_schemas_are_those_of_the_types() -> None:
    """After a change of a document, ``script/schemas`` writes them again."""
    for name, text in SCRIPT["make_schemas"]().items():
        assert (PACKAGE / "schemas" / name).read_text() == text


@pytest.mark.parametrize("verb", [*RUNS, "error"])
def test_a_schema_describes_every_key_and_allows_more(verb: str) -> None:
    schema = load_schema(verb)
    jsonschema.Draft202012Validator.check_schema(schema)
    for described in [schema, *schema["$defs"].values()]:
        assert described["description"].endswith(".")
        assert all(value["description"].endswith(".") for value in described["properties"].values())
        assert "additionalProperties" not in described


def test_every_number_has_a_unit() -> None:
    """A count says "How many"; another number names its unit, or the key that it repeats."""
    units = ("bytes", "seconds", "How many", "exit code", "Deprecated name of", "The same as")
    for verb in (*RUNS, "error"):
        schema = load_schema(verb)
        for described in [schema, *schema["$defs"].values()]:
            for key, value in described["properties"].items():
                if value.get("type") in ("integer", "number"):
                    assert any(unit in value["description"] for unit in units), (verb, key)


def test_an_error_follows_its_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("inspect", "none.tar", "--json")
    assert ran.code != 0
    check_document("error", json.loads(ran.stderr))
    debugged = json.loads(run("inspect", "none.tar", "--json", "--debug").stderr)
    check_document("error", debugged)
    assert debugged["error"]["traceback"]


@pytest.mark.parametrize("more", [{"surprise": 1}, {"layers": [{"paths": []}]}, {"closure_size": -1}])
def test_the_check_finds_unknown_keys_missing_keys_and_wrong_values(more: dict[str, Any]) -> None:
    planned = {"layers": [], "layer_count": 0, "path_count": 0, "closure_size": 0, "platform": "", "table": None}
    document = {"version": 1, **planned, "images": [planned], "registry": None, "warnings": []}
    check_document("plan", document)
    with pytest.raises(jsonschema.ValidationError):
        check_document("plan", document | more)
