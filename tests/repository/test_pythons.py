"""Every Python makes the same image; LAMINA_TEST_PYTHONS names interpreters, others are looked for on PATH."""

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


def _find_other_pythons() -> dict[tuple[int, ...], str]:
    """Return one interpreter without packages for each other version from 3.11 on."""
    names = os.environ.get("LAMINA_TEST_PYTHONS", "").split()
    names += filter(None, (shutil.which(f"python3.{minor}") for minor in range(11, 16)))
    found: dict[tuple[int, ...], str] = {}
    for name in names:
        ran = subprocess.run([name, "-I", "-c", _VERSION], capture_output=True, text=True, check=False)
        version = tuple(map(int, ran.stdout.split()))
        if ran.returncode == 0 and version >= (3, 11) and version != sys.version_info[:2]:
            found.setdefault(version, name)
    return found


def _build_image(python: str, root: Path, output: Path, **environment: str) -> str:
    command = [python, "-c", _IMAGE, str(hello()), str(root), str(output)]
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), **environment}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_every_python_makes_the_same_image(tmp_path: Path) -> None:
    root = tmp_path / "store"
    example_store(root)
    others = _find_other_pythons()
    if not others:
        pytest.skip("no other Python from 3.11 on is installed, and LAMINA_TEST_PYTHONS names none")
    expected = _build_image(sys.executable, root, tmp_path / "here.tar")
    for version, python in others.items():
        assert _build_image(python, root, tmp_path / "there.tar") == expected, version
        assert (tmp_path / "there.tar").read_bytes() == (tmp_path / "here.tar").read_bytes(), version


@pytest.mark.integration
def test_the_hash_seed_does_not_change_the_image(tmp_path: Path) -> None:
    root = tmp_path / "store"
    example_store(root)
    images = {
        _build_image(sys.executable, root, tmp_path / "image.tar", PYTHONHASHSEED=seed)
        for seed in ("0", "1", "2", "random")
    }
    assert len(images) == 1
