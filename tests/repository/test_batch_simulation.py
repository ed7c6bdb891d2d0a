"""The simulation of a batch on a cluster, against times that follow from its rates alone."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from bench.fleets.sharing import Clock, Process, SharedResource, Use, start_process
from bench.fleets.simulate import VARIANTS, WORKERS, draw_fleet, print_lines
from bench.fleets.simulation import Rates, SimulatedFleet, simulate
from tests.support.paths import REPOSITORY

# Nothing but what a test sets takes time.
FREE = Rates(
    workers=1,
    prepare=0,
    finish=0,
    submit=0,
    schedule=0,
    start=0,
    pack=1e18,
    store=1e18,
    connection=1e18,
    registry=1e18,
    requests=1e18,
    latency=1e-18,
    mount_requests=1,
)
LAYERS = SimulatedFleet([100] * 12, [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [0, 11]])


def test_users_of_a_resource_share_its_rate_evenly() -> None:
    """Two users of 10 units at 1 unit a second, of which one comes 5 seconds later: they end at 15 and at 20."""
    clock, ends = Clock(), {}
    resource = SharedResource(clock, "network", 1)

    def use(name: str, delay: float) -> Process:
        yield (Use(delay),)
        yield (Use(10, resource),)
        ends[name] = clock.now

    for name, delay in (("first", 0), ("second", 5)):
        start_process(clock, use(name, delay))
    clock.run()
    assert ends == pytest.approx({"first": 15, "second": 20})
    assert resource.measure_use(20) == pytest.approx(1)


def test_a_user_gets_no_more_than_its_limit() -> None:
    clock, ends = Clock(), []
    resource = SharedResource(clock, "network", 100, limit=2)

    def use() -> Process:
        yield (Use(10, resource), Use(3))
        ends.append(clock.now)

    for _ in range(4):
        start_process(clock, use())
    clock.run()
    assert ends == pytest.approx([5] * 4)


@pytest.mark.parametrize(
    ("rates", "seconds", "bottleneck"),
    [
        (replace(FREE, pack=100), 12, "workers"),
        (replace(FREE, pack=100, workers=4), 3, "workers"),
        (replace(FREE, pack=100, workers=50), 1, "workers"),
        (replace(FREE, connection=10, nar_ratio=0.5, workers=4), 15, "workers"),
        (replace(FREE, store=10, nar_ratio=0.5, workers=4), 60, "binary cache"),
        (replace(FREE, registry=10, blob_ratio=0.25, workers=4), 30, "registry bytes"),
        (replace(FREE, prepare=2), 10, "client"),
        (replace(FREE, finish=2), 10, "client"),
        (replace(FREE, schedule=0.5, workers=4), 6, "scheduler"),
        (replace(FREE, requests=2, layer_requests=5, image_requests=6), (12 * 5 + 5 * 6 + 14) / 2, "registry requests"),
        (replace(FREE, latency=1, layer_requests=0, image_requests=1, finishers=5), 4, "registry requests"),
    ],
)
def test_the_slowest_part_decides(rates: Rates, seconds: float, bottleneck: str) -> None:
    found = simulate(LAYERS, rates)
    assert found.seconds == pytest.approx(seconds, rel=1e-6)
    if bottleneck != "registry requests" or rates.latency < 1:
        assert found.bottleneck == bottleneck
    assert all(0 <= used <= 1 + 1e-9 for used in found.use.values())


def test_an_image_is_finished_while_layers_of_others_are_made() -> None:
    """The first image needs the largest layer, which is made first; it is finished while the second layer is made."""
    fleet = SimulatedFleet([200, 100], [[0], [1]])
    assert simulate(fleet, replace(FREE, pack=100, finish=1)).seconds == pytest.approx(4)


def test_the_simulation_does_not_depend_on_anything_but_its_arguments() -> None:
    chance = random.Random(1)
    sizes = [int(10 ** chance.uniform(3, 8)) for _ in range(300)]
    fleet = SimulatedFleet(sizes, [chance.sample(range(300), 20) for _ in range(500)])
    first, second = (simulate(fleet, Rates(workers=20)) for _ in range(2))
    assert first == second
    assert simulate(fleet, Rates(workers=1)).seconds > first.seconds


def test_a_batch_of_nothing_takes_no_time() -> None:
    assert simulate(SimulatedFleet([], []), Rates()).seconds == 0


def test_drawn_images_have_at_most_as_many_layers_as_wanted_and_all_their_paths() -> None:
    whole, cut = draw_fleet(60, 1, max_layers=1000), draw_fleet(60, 1, max_layers=20)
    assert max(map(len, cut.images)) == 20
    for one, other in zip(whole.images, cut.images, strict=True):
        assert sum(whole.sizes[layer] for layer in one) == sum(cut.sizes[layer] for layer in other)
        assert len(set(other)) == len(other)
    assert draw_fleet(60, 1, max_layers=20) == cut


def test_the_command_prints_a_table_of_workers_and_one_of_variants() -> None:
    command = [str(REPOSITORY / "bench/batch_simulation"), "--images", "50", "--start", "2"]
    environment = {"LAMINA_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    lines = [line.strip("| ").split(" | ") for line in ran.stdout.splitlines() if line.startswith("|")]
    assert {len(line) for line in lines if "|" not in line[0]} == {11}
    assert [line[0] for line in lines if "|" not in line[0]] == [
        "workers",
        *map(str, WORKERS),
        "100 workers",
        *VARIANTS,
    ]


@pytest.mark.integration
def test_the_docs_have_the_tables_of_the_command() -> None:
    lines = list(print_lines(draw_fleet(10_000, 1), Rates(), WORKERS))
    page = (REPOSITORY / "docs/cluster.md").read_text()
    assert "\n".join(lines[3:]) in page
    numbers = re.findall(r"[\d,.]+(?= |$)", " ".join(lines[:2]))
    text = " ".join(page.split())
    assert [number for number in numbers if number.strip(",.") not in text] == []
