"""Layers of an earlier image in Debian's docker-registry: which blobs an update sends."""

from __future__ import annotations

from pathlib import Path

from tests.integration.engines import Skopeo
from tests.support.fake_nix_store import FakeStore, run


def test_an_update_sends_only_the_layers_that_changed(registry: str, skopeo: Skopeo, tmp_path: Path) -> None:
    """The second version has another leaf. There are fewer layers than store paths, so some paths share one."""
    repository, store = f"{registry}/pinned/app", FakeStore(tmp_path / "root")
    options = ("--store", str(store.root), "--architecture", "amd64", "--max-layers", "7", "--no-layer-cache")
    libraries = [store.add(f"library-{number}", {"lib": bytes(10_000 * (number + 1))}) for number in range(9)]
    blobs: list[list[str]] = []
    for version in (1, 2):
        leaf = store.add(f"leaf-{version}", {"leaf": bytes(30_000) + b"%d" % version})
        app = store.add(f"app-{version}", {"app": b"#!/bin/sh"}, [*libraries, leaf])
        pinned = ("--layering", f"pinned:{repository}:{version - 1}")
        ran = run("push", str(app), *options, "--to", f"{repository}:{version}", *pinned)
        assert ran.code == 0, ran.stderr
        assert ("no such image" in ran.stderr) == (version == 1)
        blobs.append(skopeo.inspect(f"docker://{repository}:{version}", "--tls-verify=false")["Layers"])
    first, second = map(set, blobs)
    # The layer of the leaf, that of the application, and the customisation layer, which links the application.
    assert len(first) == len(second) == 7
    assert len(second - first) == 3, ran.stderr
