"""bench/layering: its closures, its updates and its arithmetic, and how `cost` compares on the closures."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from bench.reuse.closures import FOLDER, HISTORIES, NamedClosure, Row, dump, make_infos, parse, read_closures
from bench.reuse.command import PLANNERS
from bench.reuse.greedy import plan_greedily, plan_with_search
from bench.reuse.rows_of_updates import make_versions, measure
from bench.reuse.together import PLANNERS as TOGETHER
from bench.reuse.together import print_lines
from bench.reuse.updates import ROOT_SHARE, Replay, draw_updates, read_histories
from tests.support.examples import mark_rest
from tests.support.factories import closure, layers
from tests.support.paths import REPOSITORY

from lamina.layering import LayerPlan

CLOSURES = read_closures([FOLDER])
UPDATES = 2000


def plan_of(named: str) -> tuple[LayerPlan, ...]:
    """Plan layers of the closure of letters below, such as ``A BC D``."""
    by_name = {info.path.name: info for info in GRAPH}
    return tuple(LayerPlan.of([by_name[name] for name in group], "") for group in named.split())


GRAPH = closure("A→B,C B→D", A=1, B=10, C=100, D=1000)


# --- closures


def test_there_are_closures_of_many_sizes() -> None:
    sizes = [len(named.closure) for named in CLOSURES]
    assert len(sizes) >= 8
    assert min(sizes) < 120
    assert max(sizes) > 450


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_a_file_is_small_and_reads_as_it_was_written(file: Path) -> None:
    text = file.read_text()
    assert len(text) < 50_000
    rows = parse(text)
    assert dump(json.loads(text)["made"], rows) == text
    assert all(reference < number for number, row in enumerate(rows) for reference in row.references)


@pytest.mark.parametrize("named", CLOSURES, ids=lambda named: named.name)
def test_only_the_application_is_a_root(named: NamedClosure) -> None:
    roots = [number for number in range(len(named.closure)) if not named.closure.referrers[number]]
    assert roots == [named.numbers[-1]]


def test_graphs_of_nix_are_read_too(tmp_path: Path) -> None:
    rows = (Row("lib-1", 5, ()), Row("app-1", 7, (0,)))
    infos = make_infos(rows)
    items = [
        {"path": str(info.path), "narHash": str(info.nar_hash), "narSize": info.nar_size,
         "references": [str(path) for path in info.references]}
        for info in infos
    ]  # fmt: skip
    (tmp_path / "ours.json").write_text(dump("a test", rows))
    (tmp_path / "nix.json").write_text(json.dumps(items))
    ours, nix = sorted(read_closures([tmp_path]), key=lambda named: named.name != "ours")
    assert ours.closure == nix.closure
    assert ours.numbers == nix.numbers


# --- updates


def test_the_same_seed_gives_the_same_updates() -> None:
    assert draw_updates(GRAPH, 50, 1) == draw_updates(GRAPH, 50, 1) != draw_updates(GRAPH, 50, 2)


def test_most_updates_change_only_the_root() -> None:
    updates = draw_updates(CLOSURES[0].closure, UPDATES, 1)
    root = frozenset([CLOSURES[0].numbers[-1]])
    assert updates.count(root) / UPDATES == pytest.approx(ROOT_SHARE, abs=0.05)
    assert {len(update) for update in updates} == {1, 2, 3, 4, 5}


def test_bytes_sent_are_divided_by_bytes_that_change() -> None:
    """An update of D changes D, B and A; an update of C changes C and A."""
    numbers = {info.path.name: number for number, info in enumerate(GRAPH)}
    replay = Replay.of(GRAPH, [frozenset([numbers["D"]]), frozenset([numbers["C"]]), frozenset([numbers["A"]])])
    assert replay.least == (1000 + 10 + 1) + (100 + 1) + 1
    assert replay.ratio(plan_of("A B C D")) == 1
    assert replay.ratio(plan_of("A BD C")) == 1
    assert replay.ratio(plan_of("ABCD")) == 3 * 1111 / replay.least
    assert replay.ratio(plan_of("A BC D")) == (1000 + 110 + 1 + 110 + 1 + 1) / replay.least


def test_histories_name_paths_of_a_closure() -> None:
    found = list(read_histories(CLOSURES))
    assert len(found) == len(list(HISTORIES.glob("*.json"))) == 2
    for _, named, updates in found:
        alone = updates.count(frozenset([named.numbers[-1]]))
        assert alone / len(updates) == pytest.approx(ROOT_SHARE, abs=0.01)


# --- strategies


def test_the_simple_strategies_find_the_plan_of_a_small_example() -> None:
    found = closure("A→B,D B→C D→E", A=1, B=50, C=50, D=50, E=50)
    assert sorted(layers(plan_greedily(found, 3))) == ["A", "B C", "D E"]
    assert sorted(layers(plan_with_search(found, 3))) == ["A", "B C", "D E"]


@pytest.mark.parametrize("strategy", PLANNERS)
def test_a_layer_for_each_path_sends_what_changes(strategy: str) -> None:
    named = CLOSURES[0]
    replay = Replay.of(named.closure, draw_updates(named.closure, UPDATES, 1))
    assert replay.ratio(PLANNERS[strategy](named.closure, len(named.closure))) == 1


@pytest.mark.parametrize("named", mark_rest(CLOSURES, 1), ids=lambda named: named.name)
def test_cost_sends_less_than_every_other_strategy(named: NamedClosure) -> None:
    """The other strategies are those of nixpkgs, and greedy merging with local search, which knows the rates."""
    replay = Replay.of(named.closure, draw_updates(named.closure, 10_000, 1))
    for budget in (10, 30, 99):
        found = replay.ratio(PLANNERS["cost"](named.closure, budget))
        others = {
            name: replay.ratio(PLANNERS[name](named.closure, budget)) for name in ("popularity", "auto", "local search")
        }
        assert {name: ratio for name, ratio in others.items() if ratio < found} == {}, budget


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"LAMINA_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    command = [str(REPOSITORY / "bench/layering"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_the_command_prints_a_line_for_each_strategy(tmp_path: Path) -> None:
    output = tmp_path / "ratios.json"
    options = ["--layers", "10,30", "--only", "auto,cost", "--updates", "500", "--json", str(output)]
    found = run_command(str(FOLDER / "java-application.json"), *options)
    head, rule, *lines = [line.strip("| ").split(" | ") for line in found.stdout.splitlines()]
    assert head == ["closure", "paths", "strategy", "10", "30"]
    assert rule == ["---", "--:", "---", "--:", "--:"]
    assert [line[0] for line in lines] == ["java-application"] * 2 + ["mean"] * 2 + ["worst"] * 2
    ratios = json.loads(output.read_text())["java-application"]
    assert lines[1][3:] == [f"{ratio:.3f}" for ratio in ratios["cost"]]
    assert ratios["cost"][0] < ratios["auto"][0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "got no store paths, expected at least one"), ("[1]", "closure graph: got 1, expected")],
)
def test_a_file_that_is_no_graph_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "graph.json").write_text(text)
    found = run_command(str(tmp_path))
    assert found.returncode == 1
    assert found.stderr.startswith("bench/layering: ")
    assert message in found.stderr


# --- several images


def test_images_that_are_planned_together_store_less_than_those_that_are_planned_alone() -> None:
    head, rule, *lines = [line.strip("| ").split(" | ") for line in islice(print_lines([10], 100, 1), 2 + 4)]
    assert head[:5] == ["fleet", "images", "layers of each", "strategy", "different layers"]
    assert len(rule[0].split("|")) == len(head)
    assert [line[:4] for line in lines] == [["services", "4", "10", strategy] for strategy in TOGETHER]
    stored = {line[3]: float(line[5]) for line in lines}
    assert stored["shared"] < min(stored[strategy] for strategy in TOGETHER if strategy != "shared")
    assert all(float(line[6]) >= 1 for line in lines), "nothing stores less than each path once"


# --- updates in a row


def test_a_version_has_other_store_paths_where_something_changed() -> None:
    numbers = {info.path.name: number for number, info in enumerate(GRAPH)}
    (first, second) = make_versions(GRAPH, [frozenset([numbers["C"]]), frozenset([numbers["D"]])])
    before = {info.path.name: info for info in GRAPH}
    for found, names in ((first, "AC"), (second, "ABD")):
        after = {info.path.name: info for info in found}
        assert {name for name in after if after[name].path != before[name].path} == set(names)
        assert {name: info.nar_size for name, info in after.items()} == {
            name: info.nar_size for name, info in before.items()
        }
        before = after


@pytest.mark.parametrize("name", ["database", "web-server", *mark_rest(["statistics", "build-tools"], 0)])
@pytest.mark.parametrize("budget", [30, 60])
def test_pinned_layers_do_not_become_worse_in_twenty_updates(name: str, budget: int) -> None:
    """At most 10 % more than a plan that knows the updates, and hardly more than one plan that does not."""
    (named,) = [named for named in CLOSURES if named.name == name]
    found = measure(named.closure, [draw_updates(named.closure, 20, seed) for seed in (1, 2)], budget)
    assert found.pinned <= 1.1 * found.counted
    assert found.pinned <= 1.1 * found.learnt
    assert found.pinned <= 1.02 * found.cost


def test_the_command_prints_the_ratios_of_updates_in_a_row() -> None:
    ran = run_command(
        str(FOLDER / "java-application.json"), "--row", "5", "--repeat", "1", "--layers", "20,30", "--seed", "3"
    )
    head, rule, *lines = [line.strip("| ").split(" | ") for line in ran.stdout.splitlines()]
    assert head == ["closure", "paths", "compared", "20", "30"]
    assert rule == ["---", "--:", "---", "--:", "--:"]
    assert [line[2] for line in lines[:3]] == ["pinned ÷ counted", "cost ÷ counted", "pinned ÷ learnt"]
    assert all(0.9 < float(cell) < 1.2 for line in lines[:3] for cell in line[3:])
