"""What pip installs is the checkout: the same modules, which do the same, worker processes and scripts included."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example
from tests.support.paths import PACKAGE, REPOSITORY, SOURCES

# More than `lamina.layers.context.MIN_PARALLEL_SIZE`, so that worker processes hash it.
LARGE = 80 << 20
BUILD = ("-m", "lamina", "stream", "large", "--no-layer-cache", "--jobs", "2", "--extra-commands", "echo x > made")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which a wheel of the checkout is unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    made, _ = example(tmp_path_factory.mktemp("store"))
    made.add("large-1", {"data": os.urandom(1 << 20) * (LARGE >> 20)})
    return made


def python(source: Path, *arguments: str | Path, **environment: str) -> bytes:
    """What Python prints with lamina's modules from ``source``."""
    clean: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(source), **environment}
    return subprocess.run([sys.executable, *arguments], env=clean, check=True, capture_output=True).stdout


def modules(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"}


def test_a_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    assert modules(wheel / "lamina") == modules(PACKAGE)


@pytest.mark.integration
def test_a_wheel_streams_the_same_image_with_workers_and_a_script(wheel: Path, store: FakeStore) -> None:
    assert python(wheel, "-c", "import lamina; print(lamina.__file__)").decode().startswith(str(wheel))
    options = ("--store", store.root)
    assert python(wheel, *BUILD, *options) == python(SOURCES, *BUILD, *options)


@pytest.mark.integration
def test_a_script_made_from_a_wheel_streams_the_same_image(wheel: Path, store: FakeStore, tmp_path: Path) -> None:
    python(wheel, "-m", "lamina", "script", "hello", "--store", store.root, "-o", tmp_path / "stream")
    streamed = subprocess.run([tmp_path / "stream"], env={}, check=True, capture_output=True).stdout
    assert streamed == python(SOURCES, "-m", "lamina", "stream", "hello", "--store", store.root)


_WORKER = """
import os, sys
from lamina.layers import worker_tasks
from lamina.layers.workers import WorkerPool
with WorkerPool(1) as pool:
    task = worker_tasks.listing_task([os.fsencode(sys.argv[1])])
    listings = pool.submit(lambda run_task: run_task(task), (0, 0)).result()
    print(len(worker_tasks.parse_listings(listings)))
"""


@pytest.mark.integration
def test_a_worker_process_of_a_wheel_works(wheel: Path, tmp_path: Path) -> None:
    """A worker that cannot start is replaced silently, so an image alone does not show it."""
    assert python(wheel, "-c", _WORKER, tmp_path) == b"1\n"
