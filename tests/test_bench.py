"""The benchmark itself: the same trees each time, sound arithmetic, and one small run of all of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.measuring import Command, Comparison, Failed, Pair, Run, compare, piped_to_cat
from bench.report import document, table
from bench.trees import Tree, large_files, small_files

from lamina.engine import measure
from lamina.formats import graph, nar
from lamina.walk import walk

CHECKOUT = Path(__file__).parent.parent


def pair(ours: float, theirs: float, peak: int = 0) -> Pair:
    return Pair(Run(ours, peak), Run(theirs, 0))


def content(tree: Tree) -> tuple[bytes, list[str]]:
    """The graph, and the hash of every path in it as it is on disk."""
    infos = graph.parse(tree.graph.read_bytes())
    on_disk = [measure(nar.dump(walk(os.fsencode(f"{tree.folder}{info.path}")))) for info in infos]
    assert [(info.nar_hash, info.nar_size) for info in infos] == [(found.digest, found.size) for found in on_disk]
    return tree.graph.read_bytes(), [str(found.digest) for found in on_disk]


def test_the_same_seed_gives_the_same_trees(tmp_path: Path) -> None:
    first, second = (content(small_files(tmp_path / name, 1, 300, 100)) for name in ("first", "second"))
    assert first == second
    first, second = (content(large_files(tmp_path / name, 1, 2, 3000)) for name in ("third", "fourth"))
    assert first == second


def test_another_seed_gives_another_tree(tmp_path: Path) -> None:
    first, second = (content(small_files(tmp_path / str(seed), seed, 30, 100)) for seed in (1, 2))
    assert set(first[1]) & set(second[1]) == {first[1][-1]}, "only the program at the root is the same"
    assert first[0] != second[0]


def test_a_tree_has_the_files_that_were_asked_for(tmp_path: Path) -> None:
    tree = small_files(tmp_path / "small", 1, 600, 100)
    files = [file for file in (tree.folder / "nix/store").rglob("*.py") if not file.is_symlink()]
    assert len(files) == 600
    assert 60 < sum(file.stat().st_size for file in files) / 600 < 140
    tree = large_files(tmp_path / "large", 1, 3, (1 << 20) + 5)
    assert [file.stat().st_size for file in tree.folder.rglob("data")] == [(1 << 20) + 5] * 3


def test_the_root_refers_to_every_other_path(tmp_path: Path) -> None:
    tree = small_files(tmp_path / "small", 1, 600, 10)
    infos = {info.path: info for info in graph.parse(tree.graph.read_bytes())}
    assert infos[tree.root].references == infos.keys() - {tree.root}


def test_the_ratio_is_the_median_of_the_pairs_ratios() -> None:
    comparison = Comparison((pair(2, 1), pair(30, 10), pair(4, 4)))
    assert comparison.ratio == 2
    assert comparison.span == (1, 3)
    assert comparison.seconds == (4, 4), "whose quotient is another"


def test_the_peak_is_the_largest_of_ours() -> None:
    assert Comparison((pair(1, 1, 5), pair(1, 1, 9), pair(1, 1, 7))).peak == 9


def test_pairs_alternate_after_one_run_of_each_that_does_not_count() -> None:
    ran: list[str] = []
    seconds: Iterator[int] = iter(range(1, 100))

    def measured(command: Command) -> Run:
        ran.append(command[0])
        return Run(next(seconds), 0)

    comparison = compare(["ours"], ["theirs"], 2, measured)
    assert ran == ["ours", "theirs"] * 3
    assert comparison.pairs == (pair(3, 4), pair(5, 6))


def test_a_run_takes_its_time_and_memory() -> None:
    run = piped_to_cat((sys.executable, "-c", "import time; time.sleep(0.1); print('x' * 10**6); bytes(b'x' * 10**8)"))
    assert run.seconds > 0.1
    assert 10**8 < run.peak < 10**9


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(Failed, match=r"got exit code 3, expected 0$"):
        piped_to_cat((sys.executable, "-c", "raise SystemExit(3)"))


def test_the_table_is_aligned() -> None:
    lines = table({"small files": Comparison((pair(3, 2, 2_000_000),)), "x": Comparison((pair(30, 1),))}).splitlines()
    assert lines == [
        "work         ours s  tar s  ratio      min–max  peak MB",
        "small files    3.00   2.00   1.50    1.50–1.50      2.0",
        "x             30.00   1.00  30.00  30.00–30.00      0.0",
    ]


def test_the_document_says_what_the_table_says() -> None:
    (result,) = document({"x": Comparison((pair(3, 2, 7), pair(8, 2, 5)))})["results"]
    assert result == {
        "work": "x",
        "pairs": 2,
        "ours_seconds": 5.5,
        "tar_seconds": 2,
        "ratio": 2.75,
        "ratio_min": 1.5,
        "ratio_max": 4,
        "ratios": [1.5, 4],
        "peak_bytes": 7,
    }


def run(folder: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """bench/run from another folder, its temporary files below that."""
    environment = os.environ | {"LAMINA_PYTHON": python, "TMPDIR": str(folder)}
    command = (str(CHECKOUT / "bench" / "run"), *arguments)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_one_pair_on_tiny_trees_gives_a_table_and_json_and_leaves_nothing(tmp_path: Path) -> None:
    sizes = ("--files", "40", "--file-size", "100", "--large-files", "2", "--large-size", "5000")
    ended = run(tmp_path, "--pairs", "1", "--json", "result.json", *sizes)
    assert ended.returncode == 0, ended.stderr
    assert [line.split("  ")[0] for line in ended.stdout.splitlines()] == ["work", "small files", "large files"]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.keys() == {"version", "python", "processors", "results"}
    assert [(each["work"], each["pairs"], len(each["ratios"])) for each in result["results"]] == [
        ("small files", 1, 1),
        ("large files", 1, 1),
    ]
    assert all(each["ratio"] > 0 and each["peak_bytes"] > 1_000_000 for each in result["results"])
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_root_that_does_not_exist_ends_the_run_with_a_message(tmp_path: Path) -> None:
    ended = run(tmp_path, "--pairs", "1", str(tmp_path / "nothing"))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("bench/run: ")
    assert "Traceback" not in ended.stderr


def test_without_the_checkouts_python_it_says_how_to_get_one(tmp_path: Path) -> None:
    ended = run(tmp_path, python=str(tmp_path / "python"))
    assert ended.returncode == 1
    assert "run script/demo first" in ended.stderr
