"""The builders of the derivations in nix/, run without Nix: their inputs and their errors."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.paths import REPOSITORY, SOURCES

from lamina.cli.nix_builder import VERBS, Derivation

# As nix/derive.nix starts it.
START = f"""import sys; sys.path.insert(0, "{SOURCES}")
from lamina.cli.nix_builder import main
main()
"""

HASH = "sha256-bkYphNLgq5on51RlM1cdSO3Pq0EBDX2oM2aL7otOt9s="


def root(folder: Path, **arguments: Any) -> dict[str, Any]:
    """Return the attributes of a customisation layer, an empty one without ``arguments``."""
    base = folder / "base.json"
    base.write_text('{"architecture": "amd64", "config": {}, "os": "linux"}')
    return {"baseJson": str(base), "arguments": {"sandbox": False, "search_path": os.defpath, **arguments}}


def start(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # Without site, so that only the standard library can be imported.
    command = [sys.executable, "-I", "-S", "-B", "-c", START, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def attributes(output: Path, **given: Any) -> str:
    mentioned = {"path": f"/nix/store/{'a' * 32}-mentioned", "narHash": HASH, "narSize": 96, "references": []}
    return json.dumps({"given": given, "outputs": {"out": str(output)}, "graph": [mentioned]})


def test_every_module_that_nix_starts_has_a_main_function() -> None:
    texts = [file.read_text("utf-8") for file in (REPOSITORY / "nix").glob("*.nix")]
    modules = {module for text in texts for module in re.findall(r'\bstart "([\w.]+)"', text)}
    assert modules
    for module in modules:
        assert callable(importlib.import_module(module).main)


@pytest.mark.parametrize("verb", mark_rest(VERBS, 1))
def test_a_verb_without_a_derivation_is_an_error(verb: str, tmp_path: Path) -> None:
    ran = start(verb, folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == ("lamina: NIX_ATTRS_JSON_FILE: got no such file, expected the attributes of a derivation\n")


def test_attributes_are_found_by_the_variable_and_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    given = root(tmp_path, extra_commands="mkdir -p etc; echo made > etc/file")
    named, here = tmp_path / "named.json", tmp_path / "sub/.attrs.json"
    named.write_text(attributes(tmp_path / "first", **given))
    here.write_text(attributes(tmp_path / "second", **given))
    for file in (named, tmp_path / "missing.json"):
        ran = start("customisation-layer", folder=tmp_path / "sub", NIX_ATTRS_JSON_FILE=str(file))
        assert (ran.returncode, ran.stderr) == (0, "")
    for name in ("layer.tar", "checksum"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert b"./etc/file" in (tmp_path / "first/layer.tar").read_bytes()


def test_a_failing_script_ends_the_build_with_its_output(tmp_path: Path) -> None:
    given = root(tmp_path, extra_commands="echo on the way; exit 3")
    (tmp_path / ".attrs.json").write_text(attributes(tmp_path / "out", **given))
    ran = start("customisation-layer", folder=tmp_path)
    assert ran.returncode == 9
    assert ran.stderr == "on the way\nlamina: extra commands: got exit status 3, expected 0\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", mark_rest(["", "[]", "{}", '{"from_image": null, "store_layers": 1}'], 1))
def test_an_invalid_conf_is_not_streamed(text: str, tmp_path: Path) -> None:
    conf = tmp_path / "conf.json"
    conf.write_text(text)
    ran = start("stream", str(conf), folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith(f"lamina: {conf}: conf: got ")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="every Python has zstd by now")
def test_a_base_image_that_this_python_cannot_read_is_named_as_such(tmp_path: Path) -> None:
    base = tmp_path / "image"
    base.write_bytes(b"\x28\xb5\x2f\xfd and more")
    (tmp_path / ".attrs.json").write_text(attributes(tmp_path / "out", **root(tmp_path, from_image=str(base))))
    ran = start("customisation-layer", folder=tmp_path)
    assert ran.returncode == 3
    assert "zstd: got No module named 'backports', expected a Python with zstd" in ran.stderr
    assert "hint: use Python 3.14, or install backports.zstd" in ran.stderr


@pytest.mark.parametrize(("cores", "jobs"), [("3", 3), ("1000", 64), ("0", None), ("", None), ("all", None)])
def test_nix_limits_the_number_of_processors(cores: str, jobs: int | None, tmp_path: Path) -> None:
    file = tmp_path / "attributes.json"
    file.write_text(attributes(tmp_path / "out"))
    assert Derivation.parse(file, cores).jobs == jobs
