"""The Python packages of this environment, as a package set from which nix/lamina.nix selects.

Each package is a folder with the files of its distribution and of all that it depends on, so that a Python with some of
the packages lacks the others, as nixpkgs' `python3.withPackages` does.
"""

import platform
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.integration.expressions import Expressions
from tests.support.paths import REPOSITORY

PYTHON = ".".join(platform.python_version_tuple()[:2])


def dependencies(**marker: str) -> list[str]:
    """The names of pyproject.toml's dependencies, for the system and the Python that ``marker`` describes."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        found = map(Requirement, tomllib.load(file)["project"]["dependencies"])
    return sorted(canonicalize_name(one.name) for one in found if one.marker is None or one.marker.evaluate(marker))


def with_packages(expressions: Expressions, folder: Path) -> Expressions:
    """The expressions with a Python that has packages; ``folder`` is where they are put together."""
    packages = folder / "packages"
    for name in dependencies():
        for requirement in _closure(name):
            _copy(requirement, packages / name)
    added = expressions.nix.call("nix-store", "--add", packages).stdout.strip()
    more = f'packages = builtins.storePath {added}; pythonVersion = "{PYTHON}"; '
    return replace(expressions, host=f"{expressions.host.removesuffix('}')}{more}}}")


def _closure(name: str) -> Iterator[str]:
    seen, waiting = set[str](), [name]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        found = map(Requirement, distribution(name).requires or ())
        waiting += [one.name for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def _copy(name: str, place: Path) -> None:
    found = distribution(name)
    for file in found.files or ():
        # Programs lie outside, beside the interpreter's; bytecode is left out.
        if ".." not in file.parts and file.suffix != ".pyc":
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(found.locate_file(file)), place / file)
