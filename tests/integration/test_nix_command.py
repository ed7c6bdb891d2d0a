"""The command of nix/lamina.nix: its Python has the packages of pyproject.toml, and it builds images."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.integration.expressions import SANDBOX, Expressions
from tests.integration.packages import PYTHON, dependencies, oldest_versions, with_packages
from tests.integration.tools import ToolError
from tests.support.binary_cache import CACHE_INFO, KEY, Cache, example, serve_cache
from tests.support.paths import PACKAGE, REPOSITORY, SOURCES

import lamina

EXTRAS = ("serve", "dask")
# Imports every module of the package; an error goes to standard error.
IMPORT_ALL = """
import importlib, pkgutil, lamina
for module in pkgutil.walk_packages(lamina.__path__, "lamina."):
    importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def packaged(expressions: Expressions, tmp_path_factory: pytest.TempPathFactory) -> Expressions:
    """The expressions with a Python that has the packages of this environment."""
    return with_packages(expressions, tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="module")
def command(packaged: Expressions) -> Path:
    """The command, built by Nix."""
    return packaged.build("lamina") / "bin/lamina"


def call(command: Path, home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in an empty environment with a home folder."""
    environment = {"HOME": str(home), "PATH": os.defpath}
    return subprocess.run([command, *arguments], env=environment, capture_output=True, text=True, check=False)


def find_python(command: Path) -> Path:
    """Return the interpreter that the command starts."""
    return Path(command.read_text().split("exec ", 1)[1].split()[0])


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("version", ["3.11", "3.13", "3.14"])
@pytest.mark.parametrize("extras", [(), ("serve",), EXTRAS], ids=" ".join)
def test_the_command_requests_the_dependencies_of_pyproject(
    expressions: Expressions, machine: str, version: str, extras: tuple[str, ...]
) -> None:
    requested = expressions.evaluate(_select(expressions, machine, version, extras=extras))
    assert sorted(requested) == dependencies(extras, platform_machine=machine, python_version=version)


def _select(
    expressions: Expressions, machine: str, version: str, changed: str = "{ }", extras: tuple[str, ...] = ()
) -> str:
    """Return an expression that selects from packages which are their own names, or `changed`."""
    packages = " ".join(f'"{name}" = "{name}";' for name in oldest_versions(EXTRAS))
    names = " ".join(f'"{extra}"' for extra in extras)
    options = f'system = "{machine}-linux"; pythonVersion = "{version}"; extras = [ {names} ];'
    return f"import {expressions.source}/nix/packages.nix {{ {options} }} ({{ {packages} }} // {changed})"


def test_an_older_package_of_nixpkgs_is_an_error_that_names_it(expressions: Expressions) -> None:
    older = _select(expressions, "x86_64", "3.13", '{ botocore.version = "1.37.9"; }')
    with pytest.raises(
        ToolError, match=r"got botocore 1\.37\.9 in .* nixpkgs, expected 1\.38 or newer: use a newer nixpkgs"
    ):
        expressions.evaluate(older)
    newer = _select(expressions, "x86_64", "3.13", '{ botocore.version = "1.100"; }')
    assert {"version": "1.100"} in expressions.evaluate(newer)


def test_a_package_that_nixpkgs_lacks_is_an_error_that_names_it(expressions: Expressions) -> None:
    lacking = _select(expressions, "x86_64", "3.13").replace('"isal" = "isal";', "")
    with pytest.raises(ToolError, match="got no isal in the Python packages of nixpkgs"):
        expressions.evaluate(lacking)


def test_the_command_needs_the_oldest_versions_of_pyproject() -> None:
    text = (REPOSITORY / "nix/packages.nix").read_text(encoding="utf-8")
    assert dict(re.findall(r'([\w-]+) = "(\d[\d.]*)";', text)) == oldest_versions(EXTRAS)


def _list_files(folder: Path) -> set[Path]:
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {file for file in files if "__pycache__" not in file.parts}


def test_the_command_has_every_file_of_the_package(command: Path) -> None:
    (source,) = set(re.findall(r'sys\.path\.insert\(0, "([^"]+)"\)', command.read_text()))
    assert _list_files(Path(source) / "lamina") == _list_files(PACKAGE)


def test_the_command_writes_pages(command: Path, expressions: Expressions, tmp_path: Path) -> None:
    ran = call(command, tmp_path, "plan", expressions.build("pkgs.hello"), "--html", tmp_path / "plan.html")
    assert ran.returncode == 0, ran.stderr
    assert "<!doctype html>" in (tmp_path / "plan.html").read_text().lower()


def test_its_python_has_only_the_packages_that_lamina_imports(command: Path) -> None:
    python = find_python(command)
    assert PYTHON in str(next((python.parents[1] / "lib").iterdir()))
    source = SOURCES
    start = f"import sys; sys.path.insert(0, {str(source)!r}); sys.dont_write_bytecode = True\n"
    assert subprocess.run([python, "-I", "-c", start + IMPORT_ALL], capture_output=True, check=True).stderr == b""
    assert subprocess.run([python, "-I", "-c", "import pytest"], capture_output=True, check=False).returncode == 1


def test_the_command_has_the_libraries_of_serve_unless_it_is_built_without(
    packaged: Expressions, command: Path, tmp_path: Path
) -> None:
    other = packaged.build("laminaWithoutExtras") / "bin/lamina"
    (tmp_path / "users").write_text("")
    for program, reason in ((command, "got no user"), (other, "got no bcrypt")):
        served = call(program, tmp_path, "serve", "--auth-file", tmp_path / "users", "--listen", "127.0.0.1:0")
        assert served.returncode != 0
        assert reason in served.stderr


@pytest.mark.parametrize("options", [(), SANDBOX], ids=["plain", "sandbox"])
def test_a_rebuild_gives_the_same_files(packaged: Expressions, command: Path, options: tuple[str, ...]) -> None:
    assert command.is_file()
    packaged.rebuild("lamina", *options)


def test_the_command_prints_its_version(command: Path, tmp_path: Path) -> None:
    assert call(command, tmp_path, "--version").stdout == f"lamina {lamina.__version__}\n"


def test_the_command_builds_images_of_the_nix_store(command: Path, expressions: Expressions, tmp_path: Path) -> None:
    hello = expressions.build("pkgs.hello")
    ids = set()
    for name in ("image.tar.gz", "image.tar.zst", "layout/"):
        ran = call(command, tmp_path, "build", hello, "-o", f"{tmp_path}/{name}", "--with", "certs,nss", "--json")
        assert ran.returncode == 0, ran.stderr
        ids.add(json.loads(ran.stdout)["id"])
    assert len(ids) == 1


@pytest.mark.parametrize("compression", ["br", "lz4"])
def test_the_command_builds_images_from_binary_caches(command: Path, tmp_path: Path, compression: str) -> None:
    cache = Cache(tmp_path / "cache", compression=compression)
    hello = example(cache)
    with serve_cache(cache.folder) as server:
        arguments = (str(hello), "--store", server.url, "--trusted-key", str(KEY.public))
        ran = call(command, tmp_path, "build", *arguments, "-o", tmp_path / "image.tar")
        assert ran.returncode == 0, ran.stderr
        assert CACHE_INFO in server.asked
    assert call(command, tmp_path, "store", "ls").stdout.count("/nix/store/") == len(cache.trees)


def test_the_command_reaches_s3(command: Path, tmp_path: Path) -> None:
    url = "s3://bucket?endpoint=http://127.0.0.1:1&region=us-east-1"
    ran = call(command, tmp_path, "store", "fetch", "/nix/store/" + "0" * 32 + "-x", "--store", url, "--json")
    assert ran.returncode == 5, ran.stderr
    assert "Error" not in ran.stderr
