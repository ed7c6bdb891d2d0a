"""Rates of updates from the versions of an image in Debian's docker-registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.engines import Skopeo
from tests.support.fake_nix_store import FakeStore

import lamina


def make_version(store: FakeStore, number: int) -> dict[str, Any]:
    """Add a version of an application, in which the library busy has changed too, and return how it is planned."""
    others = [store.add(f"{name}-1", {name: bytes(100_000)}) for name in ("calm", "deep")] if number == 8 else []
    kept = others or [path for path in store.numbers if path.name in ("calm-1", "deep-1")]
    busy = store.add(f"busy-{number}", {"busy": bytes(100_000) + b"%d" % number})
    app = store.add(f"app-{number}", {"app": b"#!/bin/sh"}, [*kept, busy])
    return {"contents": [str(app)], "store": str(store.root), "architecture": "amd64", "max_layers": 4}


def test_the_tags_of_a_repository_are_a_history(registry: str, skopeo: Skopeo, tmp_path: Path) -> None:
    """Versions 8 to 12 are pushed, so that the natural order of the tags differs from the registry's."""
    repository, store = f"{registry}/rates/app", FakeStore(tmp_path / "root")
    versions = {number: make_version(store, number) for number in range(8, 14)}
    last = versions.pop(13)
    for number, arguments in versions.items():
        lamina.push_layered_image(to=f"{repository}:{number}", **arguments)
    assert sorted(map(str, versions)) != list(map(str, versions))
    planned = lamina.plan_layered_image(layering="cost", history=repository, **last)
    assert planned.warnings == ()
    assert [sorted(path.name for path in layer.paths) for layer in planned.layers] == [
        ["calm-1", "deep-1"],
        ["busy-13"],
        ["app-13"],
    ]
    tags = [f"{repository}:{number}" for number in versions]
    assert lamina.plan_layered_image(layering="cost", history=tags, **last).layers == planned.layers
    for number in versions:
        file = tmp_path / f"copies/app-{number}.tar"
        file.parent.mkdir(exist_ok=True)
        skopeo.copy(
            f"docker://{repository}:{number}", f"docker-archive:{file}:rates/app:{number}", "--src-tls-verify=false"
        )
    copied = lamina.plan_layered_image(layering="cost", history=tmp_path / "copies", **last)
    assert (copied.layers, copied.warnings) == (planned.layers, ())


def test_the_first_version_is_pushed_without_a_history(registry: str, tmp_path: Path) -> None:
    first = make_version(FakeStore(tmp_path / "root"), 8)
    target = f"{registry}/rates/first"
    pushed = lamina.push_layered_image(to=f"{target}:8", layering="cost", history=target, **first)
    assert pushed.warnings == (f"history: {target}: no image in the repository, so nothing is learnt from it",)
    again = lamina.push_layered_image(to=f"{target}:8", layering="cost", history=target, **first)
    assert (again.id, again.warnings) == (pushed.id, ())


def test_an_index_in_the_history_has_the_images_of_a_platform(registry: str, tmp_path: Path) -> None:
    name, store = "rates/index", FakeStore(tmp_path / "root")
    versions = [make_version(store, number) for number in range(8, 12)]
    for number, arguments in enumerate(versions[:-1]):
        del arguments["architecture"]
        lamina.push_image_index(to=f"{registry}/{name}:{number}", platforms=["linux/amd64", "linux/arm64"], **arguments)
    planned = lamina.plan_layered_image(layering="cost", history=f"{registry}/{name}", **versions[-1])
    assert planned.warnings == ()
    assert [path.name for path in planned.layers[1].paths] == ["busy-11"]
