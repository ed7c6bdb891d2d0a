"""The same image under every Python there is: LAMINA_TEST_PYTHONS names some, others are looked for on PATH."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.example_store import example_store, hello
from tests.support.paths import SOURCES

_VERSION = "import sys; print(*sys.version_info[:2])"
_IMAGE = """
import sys, lamina
arguments = {"contents": [sys.argv[1]], "store": sys.argv[2], "extra_commands": "mkdir -p a/b; echo x > a/b/c"}
stream = lamina.stream_layered_image(**arguments)
print(stream.write_to(open(sys.argv[3], "wb")).id)
"""


def _others() -> dict[tuple[int, ...], str]:
    """An interpreter for each version from 3.11 on but this one's, and without packages."""
    names = os.environ.get("LAMINA_TEST_PYTHONS", "").split()
    names += filter(None, (shutil.which(f"python3.{minor}") for minor in range(11, 16)))
    found: dict[tuple[int, ...], str] = {}
    for name in names:
        ran = subprocess.run([name, "-I", "-c", _VERSION], capture_output=True, text=True, check=False)
        version = tuple(map(int, ran.stdout.split()))
        if ran.returncode == 0 and version >= (3, 11) and version != sys.version_info[:2]:
            found.setdefault(version, name)
    return found


def _image(python: str, root: Path, output: Path, **environment: str) -> str:
    command = [python, "-c", _IMAGE, str(hello()), str(root), str(output)]
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), **environment}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_every_python_makes_the_same_image(tmp_path: Path) -> None:
    root = tmp_path / "store"
    example_store(root)
    others = _others()
    if not others:
        pytest.skip("no other Python from 3.11 on is installed, and LAMINA_TEST_PYTHONS names none")
    expected = _image(sys.executable, root, tmp_path / "here.tar")
    for version, python in others.items():
        assert _image(python, root, tmp_path / "there.tar") == expected, version
        assert (tmp_path / "there.tar").read_bytes() == (tmp_path / "here.tar").read_bytes(), version


def test_no_hash_seed_shows_in_the_image(tmp_path: Path) -> None:
    root = tmp_path / "store"
    example_store(root)
    images = {
        _image(sys.executable, root, tmp_path / "image.tar", PYTHONHASHSEED=seed) for seed in ("0", "1", "2", "random")
    }
    assert len(images) == 1
