"""Rates of updates: from files, spec files and arguments, and from earlier images wherever they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, run
from tests.support.registry import MemoryRegistry, serve_open_registry

import lamina
from lamina.core.names import StorePath

# The last version is the one that is planned. In each, the library busy and the application changed.
VERSIONS = range(7, 13)
APART = [["calm-1", "deep-1"], ["busy-12"], ["app-12"]]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path / "root")


@pytest.fixture
def apps(store: FakeStore) -> list[StorePath]:
    """All versions of the application."""
    others = [store.add(f"{name}-1", {name: bytes(100_000)}) for name in ("calm", "deep")]
    return [
        store.add(
            f"app-{number}",
            {"app": b"#!/bin/sh"},
            [*others, store.add(f"busy-{number}", {"busy": bytes(100_000) + b"%d" % number})],
        )
        for number in VERSIONS
    ]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with serve_open_registry(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def list_layers(planned: lamina.PlanResult) -> list[list[str]]:
    return [sorted(path.name for path in layer.paths) for layer in planned.layers]


def plan(store: FakeStore, app: StorePath, **arguments: Any) -> lamina.PlanResult:
    named: dict[str, Any] = {"layering": "cost", "max_layers": 4, **arguments}
    return lamina.plan_layered_image(contents=[str(app)], store=str(store.root), **named)


def describe(number: int, app: StorePath, store: FakeStore) -> dict[str, Any]:
    return {
        "contents": [str(app)],
        "store": str(store.root),
        "architecture": "amd64",
        "name": "me/app",
        "tag": f"v{number}",
    }


def test_the_same_images_give_the_same_plan_wherever_they_are(
    store: FakeStore, apps: list[StorePath], registry: MemoryRegistry
) -> None:
    Path("old").mkdir()
    for number, app in zip(VERSIONS[:-1], apps[:-1], strict=True):
        arguments = describe(number, app, store)
        lamina.build_layered_image(output=f"old/app-{number}.tar", **arguments)
        lamina.build_layered_image(output="layout/", **arguments)
        lamina.push_layered_image(to=f"{registry.host}/me/app:v{number}", **arguments)
    registry.seen.clear()
    archives = [f"old/app-{number}.tar" for number in VERSIONS[:-1]]
    tags = [f"{registry.host}/me/app:v{number}" for number in VERSIONS[:-1]]
    expected = plan(store, apps[-1], history=archives)
    assert list_layers(expected) == APART
    assert list_layers(plan(store, apps[-1])) != APART
    for history in (["old"], ["layout"], tags, [f"{registry.host}/me/app"], ["old", "layout"]):
        planned = plan(store, apps[-1], history=history)
        assert (planned.layers, planned.warnings) == (expected.layers, ()), history
    layers = {
        layer["digest"]
        for _, text in registry.manifests["me/app"].values()
        for layer in json.loads(text).get("layers", ())
    }
    asked = {request.path.rpartition("/")[2] for request in registry.seen}
    assert layers
    assert not layers & asked


def test_a_second_push_of_a_version_gives_the_same_image(
    store: FakeStore, apps: list[StorePath], registry: MemoryRegistry
) -> None:
    learning: dict[str, Any] = {"layering": "cost", "max_layers": 4, "history": [f"{registry.host}/me/app"]}
    for number, app in zip(VERSIONS, apps, strict=True):
        pushed = lamina.push_layered_image(
            to=f"{registry.host}/me/app:v{number}", **describe(number, app, store), **learning
        )
    again = lamina.push_layered_image(to=f"{registry.host}/me/app:again", **describe(12, apps[-1], store), **learning)
    assert again.id == pushed.id


def test_a_file_and_a_spec_file_give_rates(store: FakeStore, apps: list[StorePath]) -> None:
    Path("specs").mkdir()
    Path("specs/rates.toml").write_text('"busy" = 100\n')
    options = ("--layering", "cost", "--max-layers", "4", "--store", str(store.root), "--json")
    ran = run("plan", str(apps[-1]), "--rates", "specs/rates.toml", *options)
    assert (ran.code, ran.stderr) == (0, "")
    for rates in ("'rates.toml'", "{ busy = 100 }"):
        Path("specs/app.toml").write_text(f"contents = ['{apps[-1]}']\nlayering = 'cost'\nrates = {rates}\n")
        assert run("plan", "--spec", "specs/app.toml", *options).stdout == ran.stdout
    assert list_layers(plan(store, apps[-1], rates={"busy": 100})) == APART
    document = json.loads(ran.stdout)
    assert [sorted(path.partition("-")[2] for path in layer["paths"]) for layer in document["layers"]] == APART


def test_given_rates_count_more_than_the_history(store: FakeStore, apps: list[StorePath]) -> None:
    for number, app in zip(VERSIONS[:-1], apps[:-1], strict=True):
        lamina.build_layered_image(output="layout/", **describe(number, app, store))
    planned = plan(store, apps[-1], history="layout", rates={"busy": 0.001, "calm": 100})
    assert list_layers(planned) == [["busy-12", "deep-1"], ["calm-1"], ["app-12"]]


def test_a_compared_plan_of_another_strategy_uses_no_rates(store: FakeStore, apps: list[StorePath]) -> None:
    Path("rates.toml").write_text('"busy" = 100\n')
    ran = run(
        *("plan", str(apps[-1]), "--store", str(store.root), "--layering", "cost", "--rates", "rates.toml"),
        *("--html", "plan.html", "--compare", "auto"),
    )
    assert (ran.code, ran.stderr) == (0, "")
    assert "Layers planned by auto" in Path("plan.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--rates", "none.toml", "--layering", "cost"], 11, "--rates none.toml: got No such file"),
        (["--history", "none.tar", "--layering", "cost"], 11, "none.tar: got No such file"),
        (["--history", "localhost:1/app", "--layering", "cost", "--offline"], 2, "history: got localhost:1/app:latest"),
        (["--history", "old", "--layering", "auto"], 2, "history: got the layering auto, expected cost"),
    ],
)
def test_mistakes_are_named(store: FakeStore, apps: list[StorePath], words: list[str], code: int, error: str) -> None:
    ran = run("plan", str(apps[-1]), "--store", str(store.root), *words)
    assert (ran.code, error in ran.stderr) == (code, True), ran.stderr
