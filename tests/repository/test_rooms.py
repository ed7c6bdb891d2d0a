"""The rooms of the package: its top level, the imports of its pure core, and unique class names."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.paths import PACKAGE

# Modules that read or change the world outside the process.
IMPURE = {"os", "pathlib", "platform", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "time"}
PURE = sorted(
    [
        PACKAGE / "errors.py",
        *(file for room in ("core", "formats", "layering", "reports") for file in (PACKAGE / room).rglob("*.py")),
    ]
)


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("file", PURE, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_the_core_asks_no_clock(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"now", "utcnow", "today"}


def test_the_top_level_holds_rooms_and_four_modules() -> None:
    modules = {file.name for file in PACKAGE.glob("*.py")}
    assert modules == {"__init__.py", "__main__.py", "errors.py", "version.py"}


@pytest.mark.parametrize("file", PURE, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_the_core_imports_nothing_that_does_input_or_output(file: Path) -> None:
    assert not {name.partition(".")[0] for name in imported(file)} & IMPURE


def test_no_two_classes_have_one_name() -> None:
    homes = defaultdict(list)
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
