"""Images that mean no good end in an image or in an error of lamina's, in bounded memory."""

from __future__ import annotations

import collections
import random
import subprocess
import sys
from pathlib import Path

from fuzz.image import check, process_image
from tests.support import hostile_images
from tests.support.image_files import docker_archive, layer
from tests.support.paths import REPOSITORY

COUNT = 1400
# What a Python with all of lamina takes in addresses is some 300 MB.
MEMORY = 1 << 30


def test_hostile_images_end_in_an_image_or_an_error() -> None:
    """Each in a process whose memory is bounded; the bound itself is tested below."""
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
    # The attack gets somewhere: some images are taken, some refused, for more than one reason.
    assert {"FormatError", "IntegrityError", "1 images"} <= set(found), found


def attack(count: int, first: int = 0) -> None:
    """Try ``count`` images, and print how each ended, with the number of those that ended so."""
    ends: collections.Counter[str] = collections.Counter()
    for number in range(first, first + count):
        data = hostile_images.image(random.Random(number))
        try:
            ends[_outcome(data)] += 1
        except BaseException:
            sys.stderr.write(f"image {number}\n")
            raise
    for end, times in ends.items():
        sys.stdout.write(f"{end} {times}\n")


def _outcome(data: bytes) -> str:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lamina-hostile-") as folder:
        file = Path(folder, "image")
        file.write_bytes(data)
        return process_image(file)


def test_the_same_seed_gives_the_same_image() -> None:
    assert hostile_images.image(random.Random(7)) == hostile_images.image(random.Random(7))


def test_a_good_image_is_taken(tmp_path: Path) -> None:
    data = docker_archive({"1.tar": layer("a", "b")})
    (tmp_path / "image").write_bytes(data)
    assert process_image(tmp_path / "image") == "1 images"
    check(data)
