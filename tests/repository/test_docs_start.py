"""The first page of the docs shows what its commands print, and another lists all variables that lamina reads."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import EXAMPLES, PACKAGE, REPOSITORY

START = (REPOSITORY / "docs/start-here.md").read_text(encoding="utf-8")
ENVIRONMENT = (REPOSITORY / "docs/environment.md").read_text(encoding="utf-8")


def list_commands(page: str) -> Iterator[tuple[str, str]]:
    """Yield each command line in the blocks of ``page`` with the text below it."""
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in block.removeprefix("$ ").split("\n$ "):
            command, _, shown = part.partition("\n")
            yield command, shown.rstrip("\n")


def mask(text: str) -> str:
    """Return ``text`` without durations."""
    return re.sub(r"  [0-9.]+ m?s$", "  …", text.rstrip("\n"), flags=re.MULTILINE)


def test_the_first_page_shows_what_its_commands_print(tmp_path: Path) -> None:
    """The shell runs them one after the other, beside the folder with the binary cache."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    programs = Path(sys.executable).parent
    variables = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",  # as on a terminal, each line of stdout is written before the next of stderr
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    commands = list(list_commands(START))
    script = "\n".join(f"{command}\necho '=='" for command, _ in commands)
    ran = subprocess.run(
        ["bash", "-euc", f"exec 2>&1\n{script}"],
        cwd=tmp_path,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [mask(part) for part in ran.stdout.split("==\n")[:-1]] == [mask(shown) for _, shown in commands]
    assert len(commands) == 8


def list_variables(file: Path) -> Iterator[str]:
    """Yield the constant names that ``os.environ`` is asked for in a file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case (
                ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ")), args=[ast.Constant(str(name)), *_])
                | ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(str(name)))
            ):
                yield name


def test_the_page_about_variables_lists_all_that_lamina_reads() -> None:
    read = {name for file in PACKAGE.rglob("*.py") for name in list_variables(file)}
    assert {"NO_COLOR", "NETRC"} < read
    assert read - set(re.findall(r"`(\w+)`", ENVIRONMENT)) == set()
