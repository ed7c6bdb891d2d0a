"""The unit tests mirror the package: a folder for each room, a file for each module."""

import ast
from pathlib import Path

import pytest
from tests.support.paths import PACKAGE, REPOSITORY

UNIT = REPOSITORY / "tests/unit"
FILES = sorted(file.relative_to(UNIT) for file in UNIT.rglob("test_*.py"))
# A module with fewer statements in its functions may be tested with those that use it.
MANY_STATEMENTS = 60
# These run beside a script, in a process of their own that ends with it: tests/integration/test_sandbox.py.
IN_SANDBOX = {f"rootfs/session/{name}.py" for name in ("linux", "namespaces", "script", "supervisor")}


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=str)
def test_a_folder_of_unit_tests_is_a_room(folder: Path) -> None:
    assert (PACKAGE / folder / "__init__.py").is_file()


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_of_unit_tests_is_named_after_a_module(file: Path) -> None:
    module = file.with_name(file.name.removeprefix("test_"))
    assert (PACKAGE / module).is_file(), f"no src/lamina/{module}"


def count_statements(file: Path) -> int:
    """Return the number of statements in the functions of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return len({node for function in functions for node in ast.walk(function) if isinstance(node, ast.stmt)})


def test_a_module_with_much_logic_has_a_file_of_unit_tests() -> None:
    modules = {file.relative_to(PACKAGE): file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"}
    without = {name for name in modules if not (UNIT / name.with_name(f"test_{name.name}")).is_file()}
    large = {str(name) for name in without if count_statements(modules[name]) >= MANY_STATEMENTS}
    assert large - IN_SANDBOX == set()


def test_no_test_is_beside_the_folders_of_tests() -> None:
    assert sorted(file.name for file in (REPOSITORY / "tests").glob("*.py")) == ["conftest.py"]
