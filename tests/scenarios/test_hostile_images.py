"""A hostile image file is either read as an image or refused with an error of lamina's, in bounded memory."""

from __future__ import annotations

import collections
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.image import check, process_image
from tests.support import hostile_images
from tests.support.examples import scale
from tests.support.image_files import docker_archive, layer
from tests.support.paths import REPOSITORY

# One attack in many forms; the unit tests of each room have the rules.
pytestmark = pytest.mark.integration

COUNT = scale(1400)
# Bytes of address space. Python with all of lamina imported takes about 300 MB.
MEMORY = 1 << 30


def test_hostile_images_end_in_an_image_or_an_error() -> None:
    """All images are read in one process with limited memory."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))\n"
        "from tests.scenarios.test_hostile_images import attack\n"
        f"attack({COUNT})\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = dict(line.rsplit(" ", 1) for line in ran.stdout.splitlines())
    assert sum(map(int, found.values())) == COUNT
    # The generator covers enough: some images are read, and some are refused, for more than one reason.
    assert {"FormatError", "IntegrityError", "1 images"} <= set(found), found


def attack(count: int, first: int = 0) -> None:
    """Read ``count`` images, and print each outcome with the number of images that had it."""
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(first, first + count):
        data = hostile_images.image(random.Random(number))
        try:
            outcomes[_read_image(data)] += 1
        except BaseException:
            sys.stderr.write(f"image {number}\n")
            raise
    for outcome, times in outcomes.items():
        sys.stdout.write(f"{outcome} {times}\n")


def _read_image(data: bytes) -> str:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lamina-hostile-") as folder:
        file = Path(folder, "image")
        file.write_bytes(data)
        return process_image(file)


def test_the_same_seed_gives_the_same_image() -> None:
    assert hostile_images.image(random.Random(7)) == hostile_images.image(random.Random(7))


def test_a_good_image_is_read(tmp_path: Path) -> None:
    data = docker_archive({"1.tar": layer("a", "b")})
    (tmp_path / "image").write_bytes(data)
    assert process_image(tmp_path / "image") == "1 images"
    check(data)
