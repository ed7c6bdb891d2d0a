"""The unit tests mirror the package: a folder for each room, a file for each module."""

from pathlib import Path

import pytest
from tests.support.paths import PACKAGE, REPOSITORY

UNIT = REPOSITORY / "tests/unit"
FILES = sorted(file.relative_to(UNIT) for file in UNIT.rglob("test_*.py"))


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=str)
def test_a_folder_of_unit_tests_is_a_room(folder: Path) -> None:
    assert (PACKAGE / folder / "__init__.py").is_file()


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_of_unit_tests_is_named_after_a_module(file: Path) -> None:
    module = file.with_name(file.name.removeprefix("test_"))
    assert (PACKAGE / module).is_file(), f"no src/lamina/{module}"


def test_no_test_is_beside_the_folders_of_tests() -> None:
    assert sorted(file.name for file in (REPOSITORY / "tests").glob("*.py")) == ["conftest.py"]
