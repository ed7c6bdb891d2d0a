"""Every test checks something: itself, or in a function of the tests that it calls."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import REPOSITORY

TESTS = REPOSITORY / "tests"
OURS = {"tests", "fuzz", "bench"}


class Function(NamedTuple):
    """A function of a file: the names that it calls or requests as fixtures, and whether it checks something itself."""

    name: str
    called: frozenset[str]
    has_check: bool


class Source(NamedTuple):
    """A file of the tests: its functions, and the files that it imports from."""

    functions: tuple[Function, ...]
    imported: tuple[Path, ...]


@cache
def read_source(file: Path) -> Source:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    functions = tuple(describe(node) for node in nodes if isinstance(node, ast.FunctionDef))
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS)
    return Source(functions, tuple(path for node in imports for path in find_files(node) if path.is_file()))


def find_files(node: ast.ImportFrom) -> Iterator[Path]:
    module = REPOSITORY / (node.module or "").replace(".", "/")
    yield module.with_suffix(".py")
    yield from (module / f"{alias.name}.py" for alias in node.names)


def describe(function: ast.FunctionDef) -> Function:
    nodes = list(ast.walk(function))
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    names = {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in called}
    names |= {argument.arg for argument in function.args.args}
    has_check = any(isinstance(node, ast.Assert | ast.Raise) for node in nodes)
    return Function(function.name, frozenset(names), has_check or bool(names & {"raises", "warns", "fail"}))


def find_unchecked(file: Path) -> set[str]:
    """Return the names of the tests of a file that check nothing, nor call a function of the tests that does."""
    files = [file]
    for one in files:
        files += [path for path in read_source(one).imported if path not in files]
    functions = [function for one in files for function in read_source(one).functions]
    checking = {function.name for function in functions if function.has_check}
    while more := {function.name for function in functions if function.called & checking} - checking:
        checking |= more
    return {function.name for function in read_source(file).functions if function.name.startswith("test_")} - checking


def test_a_test_checks_something() -> None:
    unchecked = {str(file.relative_to(TESTS)): find_unchecked(file) for file in sorted(TESTS.rglob("test_*.py"))}
    assert {file: names for file, names in unchecked.items() if names} == {}


def test_a_test_that_checks_nothing_is_found(tmp_path: Path) -> None:
    file = tmp_path / "test_file.py"
    file.write_text("def check():\n  assert 1\n\ndef test_a():\n  check()\n\ndef test_b():\n  print()\n")
    assert find_unchecked(file) == {"test_b"}
