"""ruff and mypy check every Python file of the repository, also programs whose names have no ``.py``."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import REPOSITORY

# Folders that tools make.
SKIPPED = {".venv", ".git", "site", "dist", "__pycache__"}


def find_python_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that are Python by their name or their first line."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name in SKIPPED or path.name.endswith("_cache"):
            continue
        if path.is_dir():
            yield from find_python_files(path)
        elif path.suffix in {".py", ".pyi"} or (not path.suffix and is_python(path)):
            yield path


def is_python(file: Path) -> bool:
    with file.open("rb") as content:
        line = content.readline()
    return line.startswith(b"#!") and b"python" in line


def test_ruff_checks_every_python_file() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--show-files"]
    shown = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    checked = {Path(line) for line in shown.splitlines()}
    assert set(find_python_files(REPOSITORY)) - checked == set()


def test_mypy_checks_every_python_file() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    places = {REPOSITORY / name for name in settings["tool"]["mypy"]["files"]}
    unchecked = {
        file
        for file in find_python_files(REPOSITORY)
        if file not in places and (file.suffix not in {".py", ".pyi"} or not places & {*file.parents})
    }
    assert unchecked == set()


def test_a_program_without_a_suffix_is_found(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/usr/bin/env python3\n")
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "data.json").write_text("{}")
    assert list(find_python_files(tmp_path)) == [tmp_path / "program"]
