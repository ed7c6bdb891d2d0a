"""The benchmark: reproducible trees, correct arithmetic, and one small run of every row."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench import baseline, command, measuring, rows
from bench.measuring import BenchError, Comparison, Pair, Side, compare, measure_seconds, output_size, run_processes
from bench.memory import can_measure, measure_peak
from bench.repeat import Layout, create_change
from bench.report import dump_results, format_table
from bench.results import Peak, Result, Row, Sizes, SkippedRow, Timed, meets_target
from bench.targets import CLOSURE, HUGE_IMAGE, HUGE_LAYER, LARGE, SMALL, START, TARGETS
from bench.trees import (
    Tree,
    generate_large_files,
    generate_many_entries,
    generate_one_file_in_many_paths,
    generate_small_files,
)
from bench.workloads import PlannedWorkload, Workload
from tests.support.paths import REPOSITORY

import lamina
from lamina.compression import libraries
from lamina.formats import closure_graph, nar
from lamina.system.transfer import hash_pieces
from lamina.system.walk import walk

ORIENTATION = {
    "cold stream ÷ tar | sha256sum",
    "plan ÷ python -c pass",
    "repeated push ÷ skopeo copy",
    "repeated stream from a cache ÷ zstd -dc of all its NARs, two at a time",
}


def content(tree: Tree) -> tuple[bytes, list[str]]:
    """Return the graph, and the hash of every path in it as it is on disk."""
    infos = closure_graph.parse(tree.graph.read_bytes())
    on_disk = [hash_pieces(nar.dump(walk(os.fsencode(f"{tree.folder}{info.path}")))) for info in infos]
    assert [(info.nar_hash, info.nar_size) for info in infos] == [(found.digest, found.size) for found in on_disk]
    return tree.graph.read_bytes(), [str(found.digest) for found in on_disk]


def test_the_same_seed_gives_the_same_trees(tmp_path: Path) -> None:
    first, second = (content(generate_small_files(tmp_path / name, 1, 300, 100)) for name in ("first", "second"))
    assert first == second
    first, second = (content(generate_large_files(tmp_path / name, 1, 2, 3000)) for name in ("third", "fourth"))
    assert first == second


def test_another_seed_gives_another_tree(tmp_path: Path) -> None:
    first, second = (content(generate_small_files(tmp_path / str(seed), seed, 30, 100)) for seed in (1, 2))
    assert set(first[1]) & set(second[1]) == {first[1][-1]}, "only the program at the root is the same"
    assert first[0] != second[0]


def test_a_tree_has_the_files_that_were_asked_for(tmp_path: Path) -> None:
    tree = generate_small_files(tmp_path / "small", 1, 600, 100)
    files = [file for file in (tree.folder / "nix/store").rglob("*.py") if not file.is_symlink()]
    assert len(files) == 600
    assert 60 < sum(file.stat().st_size for file in files) / 600 < 140
    tree = generate_large_files(tmp_path / "large", 1, 3, (1 << 20) + 5)
    assert [file.stat().st_size for file in tree.folder.rglob("data")] == [(1 << 20) + 5] * 3


def test_the_root_refers_to_every_other_path(tmp_path: Path) -> None:
    tree = generate_small_files(tmp_path / "small", 1, 600, 10)
    infos = {info.path: info for info in closure_graph.parse(tree.graph.read_bytes())}
    assert infos[tree.root].references == infos.keys() - {tree.root}


def test_one_file_in_many_paths_lies_on_disk_once(tmp_path: Path) -> None:
    tree = generate_one_file_in_many_paths(tmp_path / "image", 1, 5, 3000)
    content(tree)
    files = [file.stat() for file in tree.folder.rglob("data")]
    assert [file.st_size for file in files] == [3000] * 5
    assert len({file.st_ino for file in files}) == 1


def test_a_layer_of_many_entries_has_them(tmp_path: Path) -> None:
    tree = generate_many_entries(tmp_path / "layer", 1, 1200)
    content(tree)
    (path,) = (tree.folder / "nix/store").glob("*-many")
    assert len(list(path.rglob("*"))) == 1200


def test_the_ratio_is_the_median_of_the_pairs_ratios() -> None:
    comparison = Comparison((Pair(2, 1), Pair(30, 10), Pair(4, 4)))
    assert comparison.ratio == 2
    assert comparison.span == (1, 3)
    assert comparison.seconds == (4, 4), "the quotient of the medians is 1, not 2"


def test_pairs_alternate_after_an_uncounted_run_of_each_side() -> None:
    ran: list[str] = []
    taken: Iterator[int] = iter(range(1, 100))

    def measured(side: Side) -> float:
        ran.append(side.commands[0][0])
        return next(taken)

    comparison = compare(Side((["ours"],)), Side((["theirs"],)), 2, measured)
    assert ran == ["ours", "theirs"] * 3
    assert comparison.pairs == (Pair(3, 4), Pair(5, 6))


def test_the_time_of_a_run_is_measured() -> None:
    assert measure_seconds(Side(((sys.executable, "-c", "import time; time.sleep(0.1)"),))) > 0.1


def test_the_preparation_of_a_run_is_not_part_of_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    times = iter((100, 130))

    def clock() -> float:
        happened.append("clock")
        return next(times)

    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=clock))
    append = (sys.executable, "-c", f"open({str(tmp_path / 'runs')!r}, 'a').write('x')")
    taken = measure_seconds(Side((append,), prepare=lambda: happened.append("prepared"), times=3))
    assert happened == ["prepared", "clock", "clock"]
    assert (tmp_path / "runs").read_text() == "xxx"
    assert taken == 10, "the three runs together took 30 seconds"


def test_the_commands_of_a_side_are_piped_one_into_the_next(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("words")
    double = (sys.executable, "-c", "import sys; print(sys.stdin.read() * 2, end='')")
    side = Side((double, double), source=tmp_path / "in", output=tmp_path / "out")
    measure_seconds(side)
    assert (tmp_path / "out").read_text() == "words" * 4
    assert output_size(side, tmp_path / "count") == 20


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(BenchError, match=r"got exit code 3, expected 0$"):
        measure_seconds(Side(((sys.executable, "-c", "raise SystemExit(3)"), ("cat",))))
    with pytest.raises(BenchError, match=r"got exit code 4, expected 0$"):
        measure_seconds(Side((("cat", "/dev/zero"), (sys.executable, "-c", "raise SystemExit(4)"))))
    with pytest.raises(FileNotFoundError):
        measure_seconds(Side((("cat", "/dev/zero"), ("no-such-command",))))


def test_the_processes_end_with_the_benchmark() -> None:
    with pytest.raises(KeyboardInterrupt), run_processes(Side((("cat", "/dev/zero"), ("cat",)))) as processes:
        raise KeyboardInterrupt
    assert processes[0].returncode in {-signal.SIGTERM, -signal.SIGPIPE}
    assert processes[1].returncode is not None


@pytest.mark.integration
@pytest.mark.skipif(not can_measure(), reason="needs /proc/PID/smaps_rollup")
def test_the_peak_is_of_all_processes_together_and_a_shared_page_counts_once() -> None:
    code = "import os, time; shared = b'x' * 50_000_000; os.fork(); own = b'y' * 50_000_000; time.sleep(0.5)"
    assert 150_000_000 < measure_peak(Side(((sys.executable, "-c", code),))) < 190_000_000


def timed(title: str, kind: str, *pairs: Pair) -> Timed:
    return Timed(Row.of(kind, "hello", title), Comparison(pairs))


def test_a_result_says_whether_it_meets_its_target() -> None:
    title = "cold stream ÷ tar | cat"
    assert meets_target(timed(title, CLOSURE, Pair(12, 10))) is True
    assert meets_target(timed(title, CLOSURE, Pair(13, 10))) is False
    assert meets_target(timed(title, SMALL, Pair(13, 10))) is True
    assert meets_target(timed(title, LARGE, Pair(13, 10))) is None
    assert meets_target(Peak(Row.of(CLOSURE, "hello", "peak memory, cold stream"), 150_000_000)) is True
    assert meets_target(Peak(Row.of(CLOSURE, "hello", "peak memory, cold stream"), 150_000_001)) is False


FOUND: tuple[Result | SkippedRow, ...] = (
    timed("cold stream ÷ tar | cat", CLOSURE, Pair(3, 2), Pair(8, 2), Pair(2, 2)),
    timed("no such line", CLOSURE, Pair(3, 1)),
    SkippedRow(Row.of(CLOSURE, "hello", "gzip stage ÷ pigz -nTR"), "got no pigz on PATH"),
    Sizes(Row.of(CLOSURE, "hello", "gzip stage ÷ pigz -nTR, size"), 1_200_000, 1_000_000),
    Peak(Row.of(CLOSURE, "hello", "peak memory, build DIR/", "a note"), 99_900_000),
)


TABLE = """
| work  | what                             |    ours |  theirs |  result |     min–max | at most | met |
| ----- | -------------------------------- | ------: | ------: | ------: | ----------: | ------: | --: |
| hello | cold stream ÷ tar \\| cat         | 3.000 s | 2.000 s |   1.500 | 1.000–4.000 |     1.2 |  no |
| hello | no such line                     | 3.000 s | 1.000 s |   3.000 | 3.000–3.000 |         |     |
| hello | gzip stage ÷ pigz -nTR, size     |  1.2 MB |  1.0 MB |   1.200 |             |    1.13 |  no |
| hello | peak memory, build DIR/ (a note) |         |         | 99.9 MB |             |  150 MB | yes |

left out: hello: gzip stage ÷ pigz -nTR: got no pigz on PATH
"""


def test_the_table_is_aligned_and_says_what_was_left_out() -> None:
    *lines, last = format_table(FOUND).splitlines()
    assert lines == TABLE.splitlines()[1:]
    assert last.startswith(f"lamina {lamina.__version__}, Python ")


def test_the_document_says_what_the_table_says() -> None:
    result = dump_results(FOUND)
    assert result["results"][0] == {
        "work": "hello",
        "what": "cold stream ÷ tar | cat",
        "note": "",
        "target": 1.2,
        "met": False,
        "ratio": 1.5,
        "ratio_min": 1,
        "ratio_max": 4,
        "pairs": 3,
        "ratios": [1.5, 4, 1],
        "ours_seconds": 3,
        "theirs_seconds": 2,
    }
    _, orientation, sizes, most = result["results"]
    assert (orientation["ratio"], orientation["target"], orientation["met"]) == (3, None, None)
    assert (sizes["ratio"], sizes["ours_bytes"], sizes["theirs_bytes"]) == (1.2, 1_200_000, 1_000_000)
    assert (most["note"], most["peak_bytes"], most["target"], most["met"]) == ("a note", 99_900_000, 150, True)
    assert result["left_out"] == [{"work": "hello", "what": "gzip stage ÷ pigz -nTR", "why": "got no pigz on PATH"}]


@contextmanager
def as_in_a_store(tree: Tree) -> Iterator[None]:
    """Give the tree's files the modes that Nix gives them."""
    files = [file for file in (tree.folder / "nix/store").rglob("*") if not file.is_symlink()]
    folders = [file for file in files if file.is_dir()]
    for file in files:
        file.chmod(0o555 if file.stat().st_mode & 0o100 else 0o444)
    yield
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.integration
def test_the_baseline_makes_the_layers_that_lamina_makes(tmp_path: Path) -> None:
    tree = generate_small_files(tmp_path, 1, 300, 100)
    planned = PlannedWorkload.of(Workload.from_tree(SMALL, "small files", tree))
    with as_in_a_store(tree):
        theirs = baseline.stream(planned.document, io.BytesIO(), tree.folder)
    assert len(theirs) == len(planned.layers) == 3
    ours = lamina.stream_layered_image(name="bench", contents=[str(tree.root)], store=[tree.graph, tree.folder])
    image = ours.write_to(io.BytesIO())
    assert [str(layer.diff_id) for layer in image.layers[:-1]] == [f"sha256:{digest}" for digest in theirs]


@pytest.mark.integration
def test_the_digests_in_the_baselines_image_are_right(tmp_path: Path) -> None:
    tree = generate_small_files(tmp_path, 1, 300, 100)
    planned = PlannedWorkload.of(Workload.from_tree(SMALL, "small files", tree))
    with (tmp_path / "image.tar").open("wb") as out:
        digests = baseline.stream(planned.document, out, tree.folder)
    (image,) = lamina.inspect(tmp_path / "image.tar")
    assert [str(layer.diff_id) for layer in image.layers] == [f"sha256:{digest}" for digest in digests]


@pytest.mark.integration
def test_only_the_root_and_a_leaf_change_before_a_repeated_build(tmp_path: Path) -> None:
    planned = PlannedWorkload.of(
        Workload.from_tree(SMALL, "small files", generate_small_files(tmp_path / "tree", 1, 600, 100))
    )
    changed = create_change(planned, tmp_path / "change", 1, 3000)
    before, after = (
        set(closure_graph.parse(Path(work.stores[0]).read_bytes())) for work in (changed.before, changed.after)
    )
    assert sorted(info.path.name for info in before - after) == ["application-1.0", "leaf"]
    assert sorted(info.path.name for info in after - before) == ["application-1.0", "leaf"]
    paths = [set(PlannedWorkload.of(work).paths) for work in (changed.before, changed.after)]
    assert paths[0] & paths[1] == set(planned.paths)
    assert changed.changed_size == sum(info.nar_size for info in after - before)
    for work in (changed.before, changed.after):
        leaf, root = sorted(
            (Path(work.stores[1]) / "nix/store").iterdir(), key=lambda path: path.name[33:], reverse=True
        )
        assert (leaf / "data").stat().st_size == 3000
        (info,) = (info for info in before | after if info.path.base == root.name)
        assert leaf.name in {path.base for path in info.references}


def test_a_layout_is_restored(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    layout.clear()
    blobs = layout.image / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer_cache, index = layout.folder / "layer-cache/layer-cache.sqlite", layout.image / "index.json"
    for file in (layer_cache, index, blobs / "first"):
        file.write_text("before")
    restore = layout.make_restorer(tmp_path / "copies")
    for file in (layer_cache, index, blobs / "second", layout.folder / "layer-cache/layer-cache.sqlite-wal"):
        file.write_text("after")
    restore()
    files = {file.name: file.read_text() for file in layout.folder.rglob("*") if file.is_file()}
    assert files == dict.fromkeys(("layer-cache.sqlite", "index.json", "first"), "before")
    (blobs / "first").unlink()
    with pytest.raises(BenchError, match="got 0 of its blobs, expected all 1"):
        restore()


@pytest.mark.parametrize("codec", ["gz", "zstd"])
def test_the_stage_alone_compresses_all_of_its_input(codec: str) -> None:
    sample = bytes(range(256)) * 10_000
    stage = (sys.executable, "-P", str(REPOSITORY / "bench/stage.py"), codec, "2")
    made = subprocess.run(stage, input=sample, stdout=subprocess.PIPE, check=True).stdout
    assert len(made) < len(sample) / 10
    assert (gzip.decompress if codec == "gz" else libraries.zstd().decompress)(made) == sample


def test_a_peer_that_is_not_installed_is_left_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = PlannedWorkload(Workload(CLOSURE, "hello", ("/nix/store/hello",)), {"layers": []})
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(rows.gzip(rows.Bench(planned, tmp_path, rows.Settings(1, 1, 1, 1, 1))))
    assert {(one.row.title, one.why) for one in found if isinstance(one, SkippedRow)} == {
        (f"gzip stage ÷ pigz -nTR{title}", "got no pigz on PATH") for title in ("", ", size")
    } | {("build .tar.gz ÷ tar | pigz -nTR", "got no pigz on PATH")}
    assert len(found) == 3


def test_an_engine_that_does_not_answer_is_left_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = PlannedWorkload(Workload(CLOSURE, "hello", ("/nix/store/hello",)), {"layers": []})
    settings = rows.Settings(1, 1, 1, 1, 1, "podman")
    monkeypatch.setenv("PATH", str(tmp_path))
    reasons = ["got no podman on PATH"]
    found = list(rows.load(rows.Bench(planned, tmp_path, settings)))
    (tmp_path / "podman").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "podman").chmod(0o755)
    reasons.append("got no podman that answers")
    found += rows.load(rows.Bench(planned, tmp_path, settings))
    titles = ("first load ÷ stream | load", "repeated load ÷ stream | load")
    expected = [(title, why) for why in reasons for title in titles]
    assert [(one.row.title, one.why) for one in found if isinstance(one, SkippedRow)] == expected


def test_the_name_of_a_given_closure_is_that_of_its_first_root_without_the_hash() -> None:
    assert Workload.from_roots([f"/nix/store/{'0' * 32}-hello-2.12", "other"]).name == "hello-2.12"
    assert Workload.from_roots(["./result"]).name == "result"


def test_the_results_before_a_failure_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(bench: rows.Bench) -> Iterator[Result | SkippedRow]:
        yield FOUND[0]
        raise BenchError("no more")

    sizes = ("--files", "1", "--file-size", "1", "--json", str(tmp_path / "result.json"))
    monkeypatch.setattr(sys, "argv", ["bench/run", "--on", "small", "--only", "cold", *sizes])
    monkeypatch.setattr(rows, "STEPS", {"cold": fail})
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match=r"^bench/run: no more$"):
        command.main()
    assert "| hello | cold stream" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "result.json").read_text())["results"]) == 1


def test_the_docs_explain_every_line_and_say_its_target() -> None:
    page = (REPOSITORY / "docs/performance.md").read_text().replace("\\|", "|")
    lines = dict(re.findall(r"^\| `(.+?)` \| (.*?) ?\| ", page, re.MULTILINE))
    assert lines.keys() == TARGETS.keys() | ORIENTATION
    for title, target in lines.items():
        numbers = [float(number) for number in re.findall(r"[0-9.]+", target)]
        assert numbers == list(TARGETS.get(title, {}).values()), title


def run(folder: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run bench/run in ``folder``, with its temporary files there."""
    environment = os.environ | {"LAMINA_PYTHON": python, "TMPDIR": str(folder)}
    command = (str(REPOSITORY / "bench" / "run"), *arguments)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.integration
def test_one_pair_on_a_tiny_tree_gives_every_line_as_a_table_and_json_and_leaves_nothing(tmp_path: Path) -> None:
    sizes = ("--files", "40", "--file-size", "100", "--leaf-size", "1000", "--sample", "5000")
    ended = run(tmp_path, "--pairs", "1", "--json", "result.json", "--on", "small", *sizes)
    assert ended.returncode == 0, ended.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.keys() == {"version", "python", "processors", "machine", "results", "left_out"}
    lines = [line.replace("\\|", "|") for line in ended.stdout.splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(result["results"])
    for line, each in zip(lines, result["results"], strict=True):
        assert line.startswith(f"| {each['work']} ")
        assert f"| {each['what']} " in line
        assert (f" {each['peak_bytes'] / 1e6:.1f} MB " if "peak_bytes" in each else f" {each['ratio']:.3f} ") in line
    assert all(each.get("ratio", 1) > 0 and each.get("peak_bytes", 10**7) > 1_000_000 for each in result["results"])
    whats = {each["what"] for each in (*result["results"], *result["left_out"])}
    assert whats == TARGETS.keys() | ORIENTATION
    assert {each["work"] for each in result["results"]} == {"small files", START}
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.integration
def test_large_files_are_measured_and_huge_ones_if_asked_for(tmp_path: Path) -> None:
    sizes = ("--large-files", "1", "--large-size", "5000", "--huge-size", "100", "--huge-entries", "9")
    ended = run(tmp_path, "--on", "large", "--only", "memory", "--huge", *sizes)
    assert ended.returncode == 0, ended.stderr
    for work in ("large files", HUGE_IMAGE, HUGE_LAYER):
        assert f"{work}: peak memory, cold stream: " in ended.stderr


def test_an_unknown_row_ends_the_run_with_a_list_of_the_known_ones(tmp_path: Path) -> None:
    ended = run(tmp_path, "--only", "cold,hot")
    assert ended.returncode == 2
    known = "cold,baseline,warm,repeat,gzip,zstd,cache,push,load,memory,plan,start"
    assert f"got 'hot', expected some of {known}" in ended.stderr


@pytest.mark.integration
def test_a_root_that_does_not_exist_ends_the_run_with_a_message(tmp_path: Path) -> None:
    ended = run(tmp_path, "--pairs", "1", str(tmp_path / "nothing"))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("bench/run: ")
    assert "Traceback" not in ended.stderr


def test_without_the_checkouts_python_a_message_says_how_to_get_one(tmp_path: Path) -> None:
    ended = run(tmp_path, python=str(tmp_path / "python"))
    assert ended.returncode == 1
    assert "run script/demo first" in ended.stderr
