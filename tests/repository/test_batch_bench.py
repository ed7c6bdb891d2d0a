"""The benchmarks of `lamina batch`: their images, their arithmetic and the simulation."""

import hashlib
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bench.fleets.compare import BatchRun, check_batch
from bench.fleets.images import MAX_PACKAGES, draw_images, dump_images, write_images
from bench.fleets.registry_requests import RegistryRequests, find_blobs
from bench.fleets.runs import Fleet
from bench.fleets.slow_store import serve_slowly
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


# --- the measurement

REQUESTS = (
    ("HEAD /v2/fleet/a/blobs/sha256:one", 404),
    ("POST /v2/fleet/a/blobs/uploads/", 202),
    ("PUT /v2/fleet/a/blobs/uploads/1?_state=x&digest=sha256:one", 201),
    ("PUT /v2/fleet/a/blobs/uploads/2?_state=x&digest=sha256%3Atwo", 201),
    ("PUT /v2/fleet/b/blobs/uploads/3?_state=x&digest=sha256:one", 400),
    ("POST /v2/fleet/b/blobs/uploads/?mount=sha256:one&from=fleet%2Fa", 201),
    ("POST /v2/fleet/b/blobs/uploads/?mount=sha256:ten&from=fleet%2Fa", 202),
    ("PUT /v2/fleet/b/manifests/1", 201),
)


def test_uploads_and_mounts_are_counted_in_the_log_of_a_registry(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = ['time="2026-11-30T04:50:21Z" level=info msg="listening on 127.0.0.1:1"']
    for request, status in REQUESTS:
        lines.append(f'127.0.0.1 - - [30/Nov/2026:04:50:21 +0000] "{request} HTTP/1.1" {status} 0 "" "lamina"')
    log.write_text("\n".join(lines))
    assert RegistryRequests.read(log) == RegistryRequests({"sha256:one": 1, "sha256:two": 1}, mounts=1, count=8)


def test_blobs_of_a_registry_are_found_with_their_sizes(tmp_path: Path) -> None:
    data = tmp_path / "data/docker/registry/v2/blobs/sha256/aa/aabb/data"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"12345")
    assert find_blobs(tmp_path) == {"sha256:aabb": 5}


@pytest.mark.parametrize(
    ("uploads", "digests", "fault"),
    [
        ({}, {"a": "sha256:m"}, "1 of 1 layers were made and not sent once: sha256:one"),
        ({"sha256:one": 1}, {"a": "sha256:m"}, None),
        ({"sha256:one": 1, "sha256:old": 2}, {"a": "sha256:m"}, "1 blobs were uploaded more than once: sha256:old"),
        ({"sha256:one": 1, "sha256:two": 1}, {"a": "sha256:m"}, "1 uploaded blobs are not in the registry"),
        ({"sha256:one": 1}, {"a": "HTTP 404"}, "1 images are not in the registry: a"),
    ],
)
def test_a_batch_that_sends_a_layer_twice_or_lacks_an_image_is_wrong(
    uploads: dict[str, int], digests: dict[str, str], fault: str | None
) -> None:
    result = {"layers": [{"digest": "sha256:one", "outcome": "made"}, {"digest": "sha256:old", "outcome": "reused"}]}
    run = BatchRun(1.0, result, RegistryRequests(uploads, 0, 1), {"sha256:one": 5, "sha256:old": 5}, digests)
    assert list(check_batch(run)) == [fault] * bool(fault)


def test_chosen_images_are_spread_over_the_spec_file(tmp_path: Path) -> None:
    write_images(tmp_path / "images.json", PACKAGES, 10, 1)
    fleet = Fleet(tmp_path / "images.json", tmp_path)
    assert fleet.choose(3) == ("service-01", "service-04", "service-07")
    assert fleet.choose(20) == fleet.names
    assert fleet.choose(0) == ()


def test_a_slow_store_gives_each_connection_its_own_rate(tmp_path: Path) -> None:
    (tmp_path / "nar").write_bytes(bytes(300_000))
    with serve_slowly(tmp_path, 1e6) as url, ThreadPoolExecutor(4) as threads:
        began = time.monotonic()
        sizes = list(threads.map(lambda _: len(urllib.request.urlopen(f"{url}/nar").read()), range(4)))
        seconds = time.monotonic() - began
    assert sizes == [300_000] * 4
    assert seconds >= 0.2
    with serve_slowly(tmp_path, 1e12) as url:
        began = time.monotonic()
        urllib.request.urlopen(f"{url}/nar").read()
        assert time.monotonic() - began < seconds
