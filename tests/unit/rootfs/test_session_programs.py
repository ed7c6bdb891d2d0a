"""The programs beside a script: copied to a folder, where any Python can run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.rootfs import session
from lamina.rootfs.session_programs import build_start_command, find_python, find_python_folders, install_programs


def test_the_programs_are_readable_for_everybody_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        install_programs(tmp_path / "session")
    finally:
        os.umask(before)
    for path in [tmp_path / "session", *(tmp_path / "session").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)
    installed = {file.name for file in (tmp_path / "session/lamina/rootfs/session").iterdir()}
    assert installed == {file.name for file in Path(session.__file__).parent.glob("*.py")}


@pytest.mark.parametrize("program", ["script", "supervisor"])
def test_the_programs_import_nothing_but_the_standard_library(tmp_path: Path, program: str) -> None:
    install_programs(tmp_path / "session")
    code = (
        "import importlib, sys; sys.path.insert(0, sys.argv[1]); "
        f"print(importlib.import_module('lamina.rootfs.session.{program}').__file__)"
    )
    command = [find_python(), "-I", "-S", "-B", "-c", code, str(tmp_path / "session")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    assert ran.stdout.startswith(str(tmp_path))


def test_the_command_starts_the_main_function_of_a_program_with_its_arguments(tmp_path: Path) -> None:
    package = tmp_path / "lamina/rootfs/session"
    package.mkdir(parents=True)
    for folder in (package.parent.parent, package.parent, package):
        (folder / "__init__.py").touch()
    (package / "probe.py").write_text("def main(*words):\n    print(words)\n")
    command = build_start_command("probe", str(tmp_path), "a", "b c")
    assert subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout == "('a', 'b c')\n"


def test_the_folders_of_this_python_hold_its_library_and_itself() -> None:
    folders = find_python_folders()
    assert os.path.dirname(os.path.realpath(sys.executable)) in folders
    assert any(Path(os.path.realpath(os.__file__)).is_relative_to(folder) for folder in folders)
    assert all(map(os.path.isdir, folders))
