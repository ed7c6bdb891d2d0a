"""The names of ``lamina``: whatever a user touches is one, and type checkers know their whole signatures."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import pytest
from tests.support.paths import REPOSITORY

import lamina
from lamina.api import signatures

# Comes first, so that `lamina.cli.start` installs no signal handlers in this process.
importlib.import_module("lamina.cli.exits")
MODULES = [importlib.import_module(module.name) for module in pkgutil.walk_packages(lamina.__path__, "lamina.")]
CLASSES = {
    one.__name__
    for module in MODULES
    for one in vars(module).values()
    if isinstance(one, type) and one.__module__ == module.__name__
}
# What the layers and writers of the package give one another; a user's program passes none of it on.
INTERNAL = {
    *("Argument", "BlobInfo", "CacheDatabase", "Call", "Descriptor", "Flag", "HistoryItem", "IndexStorage"),
    *(
        "LayerInputs",
        "LocatedLayer",
        "Location",
        "Meta",
        "PackedLayer",
        "Spec",
        "StoredManifest",
        "TempDir",
        "TransferBuffers",
    ),
}
# The public names of the classes that are called otherwise in their modules.
RENAMED = {"SymlinkEntry": "Symlink"}
PUBLIC = {*dir(lamina)}


def list_annotations(found: Any) -> Iterator[str]:
    """Yield the annotations of a function, or of a class: its public fields, properties and methods."""
    match found:
        case classmethod() | staticmethod():
            yield from list_annotations(found.__func__)
        case property():
            yield from list_annotations(found.fget)
        case cached_property():
            yield from list_annotations(found.func)
        case type() if found.__module__.startswith("lamina."):
            for kind in found.__mro__:
                fields = vars(kind).get("__annotations__", {})
                yield from (str(annotation) for name, annotation in fields.items() if not name.startswith("_"))
                members = [one for name, one in vars(kind).items() if name == "__init__" or not name.startswith("_")]
                yield from (text for one in members if not isinstance(one, type) for text in list_annotations(one))
        case _ if inspect.isfunction(found):
            signature = inspect.signature(found)
            yield str(signature.return_annotation)
            yield from (str(one.annotation) for one in signature.parameters.values())


def find_touched(name: str) -> set[str]:
    """Return the classes of the package that a public name shows."""
    words = {word for text in list_annotations(getattr(lamina, name)) for word in re.findall(r"\w+", text)}
    return {RENAMED.get(word, word) for word in words & CLASSES if not word.startswith("_")}


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_what_a_public_name_shows_is_a_public_name(name: str) -> None:
    assert find_touched(name) <= PUBLIC | INTERNAL | {*vars(lamina.nodes)}


def test_the_words_of_annotations_are_found() -> None:
    assert find_touched("build_layered_image") >= {"BuildResult", "Pipeline", "StoreLike"}
    assert find_touched("Stream") >= {"BuildResult", "Draft", "Progress", "Writable"}


FUNCTIONS = sorted(name for name in PUBLIC if inspect.isfunction(getattr(lamina, name)))
RESULTS = sorted(name for name in PUBLIC if is_dataclass(getattr(lamina, name)))


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__", "StrPath", "DeclaredEntry", "LayeringFunction"}))
def test_a_public_name_is_documented(name: str) -> None:
    summary = (inspect.getdoc(getattr(lamina, name)) or "").partition("\n\n")[0]
    assert re.sub(r"\s+", " ", summary).rstrip(")").endswith("."), f"{name}: {summary}"


STEPS = [
    *("Closure.resolve", "Closure.of", "LayerPlan.of", "layering.plan"),
    *("DockerArchive.write", "OciArchive.write", "OciLayout.write", "ImageWriter.write"),
    *("Stream.build", "Stream.write_to"),
]


@pytest.mark.parametrize("name", [*FUNCTIONS, *STEPS])
def test_a_public_function_documents_its_parameters_and_what_it_returns(name: str) -> None:
    function = attrgetter(name)(lamina)
    sections = dict(re.findall(r"^(\w+):\n((?:(?: {4}.*)?\n?)*)", inspect.getdoc(function) or "", re.MULTILINE))
    described = re.findall(r"^    (\w+): ", sections["Args"], re.MULTILINE)
    assert sorted(described) == sorted({*inspect.signature(function).parameters} - {"self"})
    assert "Returns" in sections or "Yields" in sections


@pytest.mark.parametrize("name", RESULTS)
def test_a_public_dataclass_is_frozen_and_documents_its_fields(name: str) -> None:
    kind = getattr(lamina, name)
    documented = re.findall(r"^    (\w+): ", inspect.getdoc(kind) or "", re.MULTILINE)
    own = {field.name for field in fields(kind)} & {*kind.__annotations__}
    assert {field for field in own if not field.startswith("_")} <= {*documented}
    assert kind.__dataclass_params__.frozen


def test_the_stub_of_the_signatures_is_that_of_the_table() -> None:
    """After a change of an argument or a docstring, ``script/signatures`` writes the stub again."""
    written = (REPOSITORY / "src/lamina/api/signatures.pyi").read_text()
    assert (
        subprocess.run(
            [sys.executable, "script/signatures", "--print"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout
        == written
    )
    assert re.findall(r"^def (\w+)", written, re.MULTILINE) == list(signatures.HOMES)
