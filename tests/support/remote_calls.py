"""Functions that tests call in other processes, which import them from here."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NoReturn

from tests.support.processes import wait_until

from lamina.errors import Error


def raise_error(error: Exception) -> NoReturn:
    """Raise ``error``."""
    raise error


def raise_unpicklable() -> NoReturn:
    """Raise an exception of a class that only this process has."""

    class LocalError(Exception):
        pass

    raise LocalError("only here")


def raise_misshapen() -> NoReturn:
    """Raise an exception that can be pickled but not be read back."""
    raise MisshapenError(1, 2)


class MisshapenError(Exception):
    """An exception whose arguments are not those of its class."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left} and {right}")


def write_pid_and_wait(file: Path) -> NoReturn:
    """Write the ID of this process to ``file``, and wait to be killed."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_text(str(os.getpid()))
    part.rename(file)
    time.sleep(600)
    raise Error("nobody killed the process")


def wait_for(file: Path) -> int:
    """Wait until ``file`` exists, and return the ID of this process."""
    wait_until(file.exists)
    return os.getpid()


def append(file: Path, text: str) -> None:
    """Append a line to ``file``."""
    with file.open("a") as opened:
        opened.write(f"{text}\n")


def wait_in_the_first_process(file: Path) -> int:
    """Write the ID of this process to ``file`` and wait to be killed; return it if there is such a file already."""
    if not file.exists():
        write_pid_and_wait(file)
    return os.getpid()


def write_each_pid_and_wait(folder: Path) -> NoReturn:
    """Write the ID of this process as a file in ``folder``, and wait to be killed."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)
    raise Error("nobody killed the process")
