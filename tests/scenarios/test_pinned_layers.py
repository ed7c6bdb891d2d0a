"""Layers of an earlier image, which is kept in a file, a layout or a registry, and the ways to ask for them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, run
from tests.support.image_files import LayoutBuilder, layer
from tests.support.registry import MemoryRegistry, serve_open_registry

import lamina
from lamina.core.names import StorePath
from lamina.errors import InputError, InvalidArgument, NotFound
from lamina.layering.pinned import KEPT

ONCE: dict[str, Any] = {"architecture": "amd64", "max_layers": 4}


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path / "root")


@pytest.fixture
def apps(store: FakeStore) -> list[StorePath]:
    """Two versions of an application; both need the same libraries, and each needs its own settings."""
    others = [store.add(f"{name}-1", {name: bytes(size)}) for name, size in (("large", 200_000), ("small", 100_000))]
    return [
        store.add(
            f"app-{number}",
            {"app": b"#!/bin/sh"},
            [*others, store.add(f"settings-{number}", {"settings": bytes(1000) + b"%d" % number})],
        )
        for number in (1, 2)
    ]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with serve_open_registry(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def describe(store: FakeStore, app: StorePath, **arguments: Any) -> dict[str, Any]:
    named = {"name": "me/app", "tag": "1", **ONCE}
    return {"contents": [str(app)], "store": str(store.root), **named, **arguments}


def list_layers(planned: lamina.PlanResult) -> list[list[str]]:
    return [sorted(path.name for path in layer.paths) for layer in planned.layers]


# A layer for each path. The version that is planned may have fewer.
EARLIER: dict[str, Any] = {"max_layers": 5}
PINNED = [["large-1"], ["small-1"], ["app-2", "settings-2"]]


def plan(store: FakeStore, app: StorePath, image: str, **arguments: Any) -> lamina.PlanResult:
    return lamina.plan_layered_image(**describe(store, app, layering=f"pinned:{image}", **arguments))


def test_the_layers_are_kept_wherever_the_earlier_image_is(
    store: FakeStore, apps: list[StorePath], registry: MemoryRegistry
) -> None:
    first = describe(store, apps[0], **EARLIER)
    lamina.build_layered_image(output="app.tar", **first)
    lamina.build_layered_image(output="app.tar.gz", **first)
    lamina.build_layered_image(output="layout/", **first)
    lamina.push_layered_image(to=f"{registry.host}/me/app:latest", **first)
    registry.seen.clear()
    named = ["app.tar", "app.tar.gz", "app.tar#me/app:1", "layout", "oci:layout:me/app:1", f"{registry.host}/me/app"]
    for image in named:
        planned = plan(store, apps[1], image)
        assert (list_layers(planned), planned.warnings) == (PINNED, ()), image
        assert [each.reason for each in planned.layers][:2] == [KEPT, KEPT]
        assert planned.strategy == "pinned"
        assert planned.decisions[1] == f"layers: 3 of 4 store paths, 2 kept from {image}, with at most 4 in the image"
    digests = {
        each["digest"] for _, text in registry.manifests["me/app"].values() for each in json.loads(text)["layers"]
    }
    assert digests.isdisjoint(request.path.rpartition("/")[2] for request in registry.seen)


def test_the_command_a_spec_file_and_python_give_the_same_image(store: FakeStore, apps: list[StorePath]) -> None:
    Path("specs").mkdir()
    lamina.build_layered_image(output="specs/app.tar", **describe(store, apps[0], **EARLIER))
    options = ("--store", str(store.root), "--architecture", "amd64", "--max-layers", "4", "-o", "new.tar")
    assert run("build", str(apps[1]), *options, "--layering", "pinned:specs/app.tar").code == 0
    expected = Path("new.tar").read_bytes()
    Path("specs/app.toml").write_text(f"contents = ['{apps[1]}']\nlayering = 'pinned:app.tar'\n")
    assert run("build", "--spec", "specs/app.toml", *options).code == 0
    named = {"store": str(store.root), "layering": "pinned:specs/app.tar", **ONCE}
    lamina.build_layered_image(contents=[str(apps[1])], output="python.tar", **named)
    assert Path("python.tar").read_bytes() == expected


def test_kept_layers_have_the_same_bytes(store: FakeStore, apps: list[StorePath]) -> None:
    old = lamina.build_layered_image(output="app.tar", **describe(store, apps[0], **EARLIER))
    new = lamina.build_layered_image(output="new.tar", **describe(store, apps[1], layering="pinned:app.tar"))
    known = {layer.diff_id for layer in old.layers}
    assert [layer.diff_id in known for layer in new.layers] == [True, True, False, False]


def test_a_version_that_is_built_again_is_the_same_image(store: FakeStore, apps: list[StorePath]) -> None:
    lamina.build_layered_image(output="app.tar", **describe(store, apps[0], **EARLIER))
    new = lamina.build_layered_image(output="new.tar", **describe(store, apps[1], layering="pinned:app.tar"))
    again = lamina.build_layered_image(output="again.tar", **describe(store, apps[1], layering="pinned:new.tar"))
    assert again.id == new.id


def test_a_script_has_the_kept_layers(store: FakeStore, apps: list[StorePath]) -> None:
    lamina.build_layered_image(output="app.tar", **describe(store, apps[0], **EARLIER))
    Path("app.tar").rename("old.tar")
    named = describe(store, apps[1], layering="pinned:old.tar")
    lamina.build_layered_image(output="new.tar", **named)
    with lamina.stream_layered_image(**named) as stream:
        stream.script("stream-app")
    Path("old.tar").unlink()
    ran = subprocess.run(["./stream-app"], check=True, capture_output=True)
    assert ran.stdout == Path("new.tar").read_bytes()


# --- no earlier image


def test_the_first_version_in_a_registry_is_planned_by_cost(
    store: FakeStore, apps: list[StorePath], registry: MemoryRegistry
) -> None:
    image = f"{registry.host}/me/app:1"
    pushed = lamina.push_layered_image(to=image, **describe(store, apps[0], layering=f"pinned:{image}"))
    assert pushed.warnings == (f"layering: {image}: no such image for linux/amd64, so the layers are planned by cost",)
    again = lamina.push_layered_image(to=image, **describe(store, apps[0], layering=f"pinned:{image}"))
    assert (again.id, again.warnings) == (pushed.id, ())


def test_every_platform_keeps_its_own_layers(store: FakeStore, apps: list[StorePath], registry: MemoryRegistry) -> None:
    image = f"{registry.host}/me/app:1"
    both = ["linux/amd64", "linux/arm64"]
    first, second = (describe(store, app) for app in apps)
    for each in (first, second):
        del each["architecture"]
    lamina.push_image_index(to=image, platforms=["linux/amd64"], **first | EARLIER)
    pushed = lamina.push_image_index(to=image, platforms=both, **second | {"layering": f"pinned:{image}"})
    expected = f"layering: {image}: no such image for linux/arm64, so the layers are planned by cost"
    assert [warning for warning in pushed.warnings if "layering" in warning] == [f"linux/arm64: {expected}"]
    assert list_layers(plan(store, apps[1], image, architecture="amd64")) == PINNED
    without = describe(store, apps[1], layering=f"pinned:{image}")
    del without["architecture"]
    assert list_layers(lamina.plan_layered_image(**without)) == PINNED


def test_a_file_without_the_platform_is_a_first_version(store: FakeStore, apps: list[StorePath]) -> None:
    lamina.build_layered_image(output="app.tar", **describe(store, apps[0], **EARLIER))
    planned = plan(store, apps[1], "app.tar", architecture="arm64")
    assert planned.warnings[0] == "layering: app.tar: no such image for linux/arm64, so the layers are planned by cost"


def test_an_image_that_lists_no_store_paths_is_a_warning(store: FakeStore, apps: list[StorePath]) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([layer("x")]))
    layout.write(Path("layout"))
    planned = plan(store, apps[1], "layout")
    assert planned.warnings == (
        "layering: layout: no store paths in the history of its layers, so the layers are planned by cost",
    )


# --- base images and lists


def test_layers_of_the_base_image_are_not_kept_a_second_time(store: FakeStore, apps: list[StorePath]) -> None:
    """The base image has the library in a layer of store paths, which a plan could take for one of its own."""
    library = next(path for path in store.numbers if path.name == "large-1")
    lamina.build_layered_image(output="base.tar", **describe(store, library))
    over: dict[str, Any] = {"from_image": "base.tar", "max_layers": 9}
    old = lamina.build_layered_image(output="app.tar", **describe(store, apps[0], **over))
    new = lamina.build_layered_image(output="new.tar", **describe(store, apps[1], layering="pinned:app.tar", **over))
    assert len(new.layers) == len(old.layers)
    shared = {layer.diff_id for layer in old.layers} & {layer.diff_id for layer in new.layers}
    assert len({layer.diff_id for layer in new.layers} - shared) == 3


def test_listed_layers_are_kept_by_their_lists(store: FakeStore, apps: list[StorePath]) -> None:
    lists = [["small"]]
    old = lamina.build_layered_image(output="app.tar", **describe(store, apps[0], layers=lists))
    new = lamina.build_layered_image(
        output="new.tar", **describe(store, apps[1], layers=lists, layering="pinned:app.tar")
    )
    (listed,) = [layer for layer in new.layers if [path.name for path in layer.paths] == ["small-1"]]
    assert listed.diff_id in {layer.diff_id for layer in old.layers}


# --- errors


def test_a_missing_file_is_an_error(store: FakeStore, apps: list[StorePath]) -> None:
    with pytest.raises(InputError, match=r"none\.tar: got No such file"):
        plan(store, apps[1], "none.tar")


def test_a_reference_needs_the_network(store: FakeStore, apps: list[StorePath]) -> None:
    with pytest.raises(InvalidArgument, match="layering: got localhost:1/app:latest and offline") as raised:
        plan(store, apps[1], "localhost:1/app", offline=True)
    assert raised.value.hint == "fetch it first: lamina pull localhost:1/app:latest -o earlier.tar"


def test_one_of_several_images_has_to_be_named(store: FakeStore, apps: list[StorePath]) -> None:
    for number, app in enumerate(apps[::-1], 1):
        lamina.build_layered_image(output="layout/", **describe(store, app, tag=str(number), **EARLIER))
    with pytest.raises(NotFound, match="layout: got 2 images, expected one of me/app:1, me/app:2") as raised:
        plan(store, apps[1], "layout")
    assert raised.value.hint == "name one as layout#NAME:TAG"
    assert list_layers(plan(store, apps[1], "layout#me/app:2")) == PINNED


def test_rates_are_used_and_compared_plans_ignore_them(store: FakeStore, apps: list[StorePath]) -> None:
    lamina.build_layered_image(output="app.tar", **describe(store, apps[0], **EARLIER))
    Path("rates.toml").write_text('"settings" = 100\n')
    words = ("plan", str(apps[1]), "--store", str(store.root), "--rates", "rates.toml", "--html", "plan.html")
    ran = run(*words, "--layering", "pinned:app.tar", "--compare", "auto")
    assert (ran.code, ran.stderr) == (0, "")
    assert run(*words, "--layering", "cost", "--compare", "pinned:app.tar").code == 0
    assert "Layers planned by pinned" in Path("plan.html").read_text()
