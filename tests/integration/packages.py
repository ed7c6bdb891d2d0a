"""The Python packages of this environment, as the package set from which nix/lamina.nix selects.

Each package is a folder with the files of its distribution and of all its dependencies. A Python that has some of the
packages lacks the others, as with `python3.withPackages` of nixpkgs.
"""

import platform
import shutil
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.integration.expressions import Expressions
from tests.support.paths import REPOSITORY

PYTHON = ".".join(platform.python_version_tuple()[:2])


def _read_requirements(extras: Collection[str]) -> list[Requirement]:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    optional = (line for extra in extras for line in project["optional-dependencies"][extra])
    return list(map(Requirement, (*project["dependencies"], *optional)))


def dependencies(extras: Collection[str] = (), **marker: str) -> list[str]:
    """Return the names of the dependencies in pyproject.toml for the system and the Python of ``marker``."""
    return sorted(
        canonicalize_name(one.name)
        for one in _read_requirements(extras)
        if one.marker is None or one.marker.evaluate(marker)
    )


def oldest_versions(extras: Collection[str]) -> dict[str, str]:
    """Return the name of each dependency in pyproject.toml with its oldest version."""
    return {canonicalize_name(one.name): str(one.specifier).removeprefix(">=") for one in _read_requirements(extras)}


def with_packages(expressions: Expressions, folder: Path) -> Expressions:
    """Return the expressions with a Python that has the packages; they are collected in ``folder``."""
    packages = folder / "packages"
    names = dependencies(["serve"])
    for name in names:
        for requirement in _closure(name):
            _copy(requirement, packages / name)
    added = expressions.nix.call("nix-store", "--add", packages).stdout.strip()
    versions = "".join(f'{name} = "{distribution(name).version}"; ' for name in names)
    more = f'packages = builtins.storePath {added}; versions = {{ {versions}}}; pythonVersion = "{PYTHON}"; '
    return replace(expressions, host=f"{expressions.host.removesuffix('}')}{more}}}")


def _closure(name: str) -> Iterator[str]:
    seen, waiting = set[str](), [name]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        requirements = map(Requirement, distribution(name).requires or ())
        waiting += [one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]


def _copy(name: str, target: Path) -> None:
    package = distribution(name)
    for file in package.files or ():
        # Skip programs, which lie outside of the package folder, and bytecode.
        if ".." not in file.parts and file.suffix != ".pyc":
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(package.locate_file(file)), target / file)
