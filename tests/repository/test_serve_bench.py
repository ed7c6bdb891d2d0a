"""bench/serve-load and bench/serve: small runs, and wrong answers that the clients must notice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from bench.measuring import BenchError, Comparison, Pair
from bench.serving.load import LoadResult, run_clients
from bench.serving.load_command import describe, is_flat
from bench.serving.server import read_processor_time, serve
from bench.serving.throughput_command import describe as describe_throughput
from bench.trees import generate_large_files
from tests.integration.tools import require
from tests.support.paths import REPOSITORY

_MIB = 1 << 20


def run(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAMINA_PYTHON": sys.executable, "TMPDIR": str(folder)}
    command = [str(REPOSITORY / "bench" / name), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_a_short_load_test_finds_no_error_and_leaves_nothing(tmp_path: Path) -> None:
    options = ("--minutes", "0.05", "--clients", "4", "--size", "4", "--interval", "1")
    ended = run("serve-load", tmp_path, *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 clients, 0.05 minutes: " in ended.stdout
    assert " 0 errors; memory " in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_wrong_answers_are_noticed(tmp_path: Path) -> None:
    trees = {"a": generate_large_files(tmp_path / "a", 1, 2, 5000)}
    with serve(tmp_path, trees) as server:
        layers = server.list_layers("a")
        images = {"a": [replace(layer, digest=f"sha256:{'0' * 64}", size=layer.size + 1) for layer in layers]}
        result = run_clients(server, images, {}, 2, 2.0, lambda size: None, 0.5)
        assert {"whole blob", "size of a part"} <= {problem.partition(":")[0] for problem in result.errors}
        images = {"a": [replace(layer, path=f"{layer.path}0") for layer in layers]}
        result = run_clients(server, images, {}, 2, 2.0, lambda size: None, 0.5)
        assert result.errors["HEAD of a blob: got 404, expected 200"] > 0
        images = {"a": layers}
        zeros = {layer.digest: bytes(layer.size) for layer in layers}
        result = run_clients(server, images, zeros, 2, 2.0, lambda size: None, 0.5)
        assert {*result.errors} == {"bytes of a part: got False, expected True"}


def test_a_server_that_ended_is_an_error(tmp_path: Path) -> None:
    with serve(tmp_path, {"a": generate_large_files(tmp_path / "a", 1, 1, 1000)}) as server:
        assert read_processor_time(server.pid) > 0
    with pytest.raises(BenchError, match="got an end"):
        server.read_memory()
    assert read_processor_time(server.pid) == 0


def test_a_server_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    tree = generate_large_files(tmp_path / "a", 1, 1, 1000)
    with (
        pytest.raises(BenchError, match=r"got no URL.*--max-builds"),
        serve(tmp_path, {"a": tree}, ["--max-builds", "0"]),
    ):
        pass


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ([10, 60, 70, 71, 70, 72], True),
        ([10, 20, 70, 71, 90, 92], False),
        ([10, 90], True),
        ([70, 20, 20, 20, 20, 20], True),
    ],
)
def test_memory_that_grows_after_the_first_third_is_not_flat(memory: list[int], expected: bool) -> None:
    assert is_flat(memory) is expected


def test_the_last_line_sums_everything_up() -> None:
    result = LoadResult(Counter({"part": 2, "page": 1}), Counter({"page: got 500, expected 200": 1}), 3 << 29)
    counts, error, summary = describe(result, [10 * _MIB, 30 * _MIB, 20 * _MIB], 2, 10)
    assert counts == "requests: 2 part, 1 page"
    assert error == "error: 1 times page: got 500, expected 200"
    memory = "memory 10 MiB after the first sample, 20 median, 30 highest, 20 last"
    assert summary == f"2 clients, 10 minutes: 3 requests, 1.5 GiB, 1 errors; {memory}"


def test_a_throughput_is_that_of_lamina_divided_by_that_of_nginx() -> None:
    found = Comparison((Pair(2.0, 1.0), Pair(1.0, 2.0), Pair(1.0, 1.0)))
    line = describe_throughput(found, 1, 500_000_000)
    assert line == "1 client: 1.00 of nginx (0.50 to 2.00, 3 pairs), 500 and 500 MB/s"


@pytest.mark.integration
def test_the_throughput_is_compared_with_nginx(tmp_path: Path) -> None:
    require("nginx")
    ended = run("serve", tmp_path, "--size", "2", "--pairs", "1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    one, _, four, _, manifest, memory = ended.stdout.splitlines()
    assert one.startswith("1 client: ")
    assert four.startswith("4 clients: ")
    assert manifest.startswith("manifest: ")
    assert memory.startswith("memory of lamina serve: ")
    assert list(tmp_path.iterdir()) == []
