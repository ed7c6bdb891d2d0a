"""The benchmarks of `lamina batch`: their images, their arithmetic and the simulation."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from bench.fleets.images import MAX_PACKAGES, draw_images, dump_images, write_images
from bench.trees import generate_large_files
from tests.support.paths import REPOSITORY

from lamina.inputs import specfile

PACKAGES = [f"/nix/store/{number:032}-package-{number}" for number in range(100)]


def test_the_same_seed_gives_the_same_images() -> None:
    first = dict(draw_images(PACKAGES, 50, 1))
    assert first == dict(draw_images(PACKAGES, 50, 1))
    assert first != dict(draw_images(PACKAGES, 50, 2))
    # A change of the drawing makes earlier measurements incomparable.
    text = dump_images(first, is_json=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "a4d87b94032209ca"


def test_images_have_one_to_six_packages_of_which_few_are_popular() -> None:
    images = dict(draw_images(PACKAGES, 2000, 1))
    sizes = Counter(len(table["contents"]) for table in images.values())
    assert set(sizes) == set(range(1, MAX_PACKAGES + 1))
    uses = Counter(package for table in images.values() for package in table["contents"])
    counts = [count for _, count in uses.most_common()]
    assert set(uses) == set(PACKAGES)
    # Zipf's law: the first package is drawn about twice as often as the second, and ten times as often as the tenth.
    assert counts[0] > 1.4 * counts[1]
    assert counts[0] > 4 * counts[9]


def test_a_drawn_image_has_each_package_once() -> None:
    for _, table in draw_images(PACKAGES[:4], 200, 1):
        assert len(set(table["contents"])) == len(table["contents"]) <= 4


def test_toml_and_json_describe_the_same_images(tmp_path: Path) -> None:
    toml, json_file = tmp_path / "images.toml", tmp_path / "images.json"
    for file in (toml, json_file):
        write_images(file, PACKAGES, 30, 1)
    parsed = [
        {name: table.parse() for name, table in specfile.load_all(str(file)).items()} for file in (toml, json_file)
    ]
    assert parsed[0] == parsed[1]
    assert len(parsed[0]) == 30


def test_as_much_toml_as_lamina_does_not_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected at most 1048576; write a \.json file"):
        write_images(tmp_path / "images.toml", PACKAGES, 10_000, 1)
    write_images(tmp_path / "images.json", PACKAGES, 10_000, 1)
    assert len(specfile.load_all(str(tmp_path / "images.json"))) == 10_000


def test_the_command_draws_from_the_closure_without_its_root(tmp_path: Path) -> None:
    tree = generate_large_files(tmp_path / "tree", 1, 3, 1000)
    output = tmp_path / "images.toml"
    command = [str(REPOSITORY / "bench/batch_images"), str(tree.root), "--store", str(tree.graph), "-o", str(output)]
    environment = {"LAMINA_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    subprocess.run([*command, "--images", "20"], check=True, env=environment)
    contents = {path for table in specfile.load_all(str(output)).values() for path in table.arguments["contents"]}
    assert {path.partition("-")[2] for path in contents} == {"large0", "large1", "large2"}
    ran = subprocess.run([*command, "--images", "-"], check=False, env=environment, capture_output=True, text=True)
    assert ran.returncode == 2
