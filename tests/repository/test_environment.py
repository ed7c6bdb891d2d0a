"""``script/environment`` removes no ``.venv`` of another user, and names the folder that it cannot write to."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.paths import REPOSITORY

NOBODY = 65534


@pytest.fixture
def checkout() -> Iterator[Path]:
    """The files of a checkout that the script reads. Every user can enter its folder, other than those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name) / "a checkout"
        (folder / "script").mkdir(parents=True)
        shutil.copy(REPOSITORY / "script/environment", folder / "script")
        shutil.copytree(REPOSITORY / "requirements", folder / "requirements")
        shutil.copy(REPOSITORY / "pyproject.toml", folder)
        Path(name).chmod(0o755)
        yield folder
        folder.chmod(0o755)


def _run(checkout: Path, *, user: int | None = None) -> str:
    """Return the message with which the script fails."""
    done = subprocess.run(
        ["/bin/bash", str(checkout / "script/environment"), "run"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=user,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout
    return done.stderr


def _make_environment(checkout: Path, python: str) -> Path:
    """Make a ``.venv`` whose Python is ``python``, and return a file in it."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(python)
    (checkout / ".venv/kept").touch()
    return checkout / ".venv/kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder to another user")
def test_a_venv_of_another_user_is_not_removed(checkout: Path) -> None:
    kept = _make_environment(checkout, "/nonexistent/python")
    os.chown(checkout / ".venv", NOBODY, -1)
    assert "/a checkout/.venv belongs to another user, and root cannot run its Python. Run script/" in _run(checkout)
    assert kept.exists()


def test_a_checkout_that_cannot_be_written_is_named(checkout: Path) -> None:
    checkout.chmod(0o555)
    message = _run(checkout, user=NOBODY if os.geteuid() == 0 else None)
    assert "/a checkout has no usable .venv, and " in message
    assert "apt install" not in message


def test_an_outdated_venv_that_cannot_be_written_is_named(checkout: Path) -> None:
    kept = _make_environment(checkout, "python-of-every-user")
    # It only has to look like Python 3.11: a real one may be in a folder that the other user cannot enter.
    program = kept.parent / "bin/python-of-every-user"
    program.write_text("#!/bin/sh\ncat >/dev/null\necho wanted\n")
    program.chmod(0o755)
    kept.parent.chmod(0o555)
    message = _run(checkout, user=NOBODY if os.geteuid() == 0 else None)
    assert "/a checkout/.venv is out of date, and " in message
    assert kept.exists()
