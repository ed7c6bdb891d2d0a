"""A stdout that claims to be a terminal, with a width that the test chooses."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from tests.support.fake_nix_store import run


class Terminal(io.TextIOWrapper):
    """A text stream whose ``isatty`` returns True."""

    def isatty(self) -> bool:
        return True


def set_terminal(patch: pytest.MonkeyPatch, columns: int, *, colours: bool = False) -> None:
    """Set the environment variables of a terminal of ``columns`` columns."""
    patch.setenv("COLUMNS", str(columns))
    patch.setenv("TERM", "xterm-256color")
    patch.delenv("NO_COLOR", raising=False)
    if not colours:
        patch.setenv("NO_COLOR", "1")


def run_on_terminal(*arguments: str | Path, columns: int = 80, colours: bool = False) -> list[str]:
    """Run ``lamina ARGUMENTS`` with a terminal as its stdout; return the lines that it prints there."""
    with pytest.MonkeyPatch.context() as patch:
        set_terminal(patch, columns, colours=colours)
        ran = run(*arguments, wrapper=Terminal)
    assert ran.code == 0, ran.stderr
    return ran.stdout.decode().splitlines()


def capture(show: Callable[[], object], *, columns: int | None = None, colours: bool = False) -> list[str]:
    """Return the lines that ``show`` prints on a terminal of ``columns`` columns; None is a pipe."""
    stdout = io.BytesIO()
    wrapper = io.TextIOWrapper if columns is None else Terminal
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(wrapper(stdout, "utf-8")) as out:
        set_terminal(patch, columns or 80, colours=colours)
        show()
        out.flush()
    return stdout.getvalue().decode().splitlines()
