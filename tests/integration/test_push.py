"""Pushes into Debian's docker-registry, as skopeo reads them, with the bytes counted on the wire."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closures import Sample
from tests.integration.engines import Skopeo
from tests.integration.images import machine_store, write_image
from tests.support.fake_nix_store import FakeStore, example
from tests.support.fault_proxy import serve_faults

import lamina
from lamina.images.writers.push_result import RegistryPushResult

_MIB = 1 << 20
_LARGE = 48 * _MIB  # two of these are packed by worker processes
_LAMINA = (sys.executable, "-m", "lamina")
# The peak of a process counts what its parent had when it was forked, and this one may have more than is allowed.
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def push(registry: str, sample: Sample, name: str, **arguments: Any) -> RegistryPushResult:
    return lamina.push_layered_image(
        to=f"{registry}/{name}", contents=[sample.root], store=machine_store(), **arguments
    )


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """Two large paths of random bytes that are alone in their layers, and a program."""
    store, _ = example(tmp_path / "root")
    source = random.Random(1)
    for name in ("large-1", "other-1"):
        store.add(name, {f"data-{name}": source.randbytes(_LARGE)})
    return store


def push_store(registry: str, store: FakeStore, name: str, *contents: str, **arguments: Any) -> RegistryPushResult:
    named = contents or ("hello", "large", "other")
    return lamina.push_layered_image(
        to=f"{registry}/{name}", contents=named, store=str(store.root), architecture="amd64", **arguments
    )


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_skopeo_reads_the_image(registry: str, small: Sample, skopeo: Skopeo, compression: str, tmp_path: Path) -> None:
    pushed = push(registry, small, f"push/{compression}:1", layer_compression=compression)
    _, built = write_image(tmp_path, small)
    assert pushed.id == built.id
    source = f"docker://{registry}/push/{compression}:1"
    assert skopeo.inspect(source, "--tls-verify=false")["Digest"] == str(pushed.manifest_digest)
    (reference,) = pushed.references
    assert reference == f"{registry}/push/{compression}:1@{pushed.manifest_digest}"
    skopeo.copy(
        f"docker://{registry}/push/{compression}@{pushed.manifest_digest}",
        f"oci:{tmp_path}/copied:1",
        "--src-tls-verify=false",
    )
    (copied,) = lamina.inspect(tmp_path / "copied")
    assert (copied.digest, [layer.diff_id for layer in copied.layers]) == (
        built.digest,
        [layer.diff_id for layer in built.layers],
    )


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layout_of_compressed_layers_keeps_its_digest(
    registry: str, small: Sample, skopeo: Skopeo, compression: str, tmp_path: Path
) -> None:
    folder = tmp_path / "layout"
    folder.mkdir()
    write_image(tmp_path, small, file="layout", layer_compression=compression)
    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    target = f"{registry}/push/layout-{compression}:1"
    pushed = lamina.push_image(folder, to=target)
    assert (str(pushed.manifest_digest) == entry["digest"]) == (compression != "none")
    raw = skopeo.inspect(f"docker://{target}", "--tls-verify=false", "--raw")
    suffix = "zstd" if compression == "zstd" else "gzip"
    assert {layer["mediaType"] for layer in raw["layers"]} == {f"application/vnd.oci.image.layer.v1.tar+{suffix}"}
    kept = lamina.push_image(folder, to=target, layer_compression="none")
    assert str(kept.manifest_digest) == entry["digest"]


def test_what_skopeo_and_lamina_wrote_to_files_is_pushed_and_keeps_its_id(
    registry: str, small: Sample, skopeo: Skopeo, tmp_path: Path
) -> None:
    archive, built = write_image(tmp_path, small, file="image.tar.gz")
    pushed = lamina.push_image(archive, to=f"{registry}/push/file:1")
    assert pushed.id == built.id
    source = f"docker://{registry}/push/file:1"
    skopeo.copy(source, f"docker-archive:{tmp_path}/skopeo.tar:x:1", "--src-tls-verify=false")
    skopeo.copy(source, f"oci-archive:{tmp_path}/skopeo-oci.tar:1", "--src-tls-verify=false")
    skopeo.copy(
        source,
        f"docker://{registry}/push/schema2:1",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--format=v2s2",
    )
    assert lamina.push_image(tmp_path / "skopeo.tar", to=f"{registry}/push/file:2").id == built.id
    again = lamina.push_image(tmp_path / "skopeo-oci.tar", to=f"{registry}/push/file:3")
    assert (again.manifest_digest, again.blobs_sent) == (pushed.manifest_digest, 0)
    lamina.pull_image(f"{registry}/push/schema2:1", output=f"{tmp_path}/docker/")
    docker = lamina.push_image(tmp_path / "docker", to=f"{registry}/push/file:4")
    shown = skopeo.inspect(f"docker://{registry}/push/file:4", "--tls-verify=false", "--raw")
    assert shown["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert (docker.id, docker.blobs_sent) == (built.id, 0)


def test_a_fresh_machine_sends_only_what_changed(registry: str, store: FakeStore) -> None:
    first = push_store(registry, store, "push/changed:1")
    assert first.blobs_sent == len(first.blobs)
    store.add("leaf-1", {"leaf": b"leaf"})
    with serve_faults(registry) as proxy:
        nothing = push_store(proxy.address, store, "push/changed:1")
        assert nothing.manifest_digest == first.manifest_digest
        assert proxy.methods() == {"GET": 2, "HEAD": len(first.blobs) + 1}
        proxy.exchanges.clear()
        changed = push_store(proxy.address, store, "push/changed:1", "hello", "large", "other", "leaf")
        assert changed.blobs_sent == 2
        assert proxy.sent < 100_000
        assert proxy.methods()["PUT"] == 4, "the leaf, the customisation layer, the config and the manifest"
        proxy.exchanges.clear()
        mounted = push_store(
            proxy.address, store, "push/elsewhere:1", layer_cache=None, cache_from=f"{proxy.address}/push/changed:1"
        )
        assert (mounted.blobs_sent, mounted.blobs_mounted) == (1, len(first.blobs) - 1), "but the old root"
        assert proxy.sent < 100_000


def test_what_the_layer_cache_knows_and_the_registry_has_is_not_read(
    registry: str, store: FakeStore, tmp_path: Path
) -> None:
    first = push_store(registry, store, "push/known:1", layer_cache=tmp_path / "cache")
    for file in (store.root / "nix/store").rglob("data-*"):
        file.chmod(0o600)
        file.write_bytes(b"")
    known = push_store(registry, store, "push/known:1", layer_cache=tmp_path / "cache", cache_from=None)
    assert (known.manifest_digest, known.blobs_sent) == (first.manifest_digest, 0)


def test_memory_and_temporary_files_are_bounded(registry: str, store: FakeStore, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = (*_LAMINA, "push", "hello", "large", "other", "--store", store.root, "--no-layer-cache")
    measured = subprocess.run(
        (sys.executable, "-c", _MEASURE, *command, "--to", f"{registry}/push/memory:1", "-q"),
        env={**os.environ, "TMPDIR": str(temporary)},
        check=True,
        capture_output=True,
    )
    assert int(measured.stdout) * 1024 <= 200 * _MIB
    assert list(temporary.iterdir()) == []


def test_one_tag_that_is_pushed_twice_at_once_names_one_of_the_images(registry: str, store: FakeStore) -> None:
    barrier = threading.Barrier(2)

    def race(content: str) -> RegistryPushResult:
        barrier.wait()
        return push_store(registry, store, "push/race:1", "hello", content)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(race, ("large", "other")))
    (found,) = lamina.inspect(f"{registry}/push/race:1")
    assert found.digest in {result.digest for result in results}
    for result in results:
        (image,) = lamina.inspect(f"{registry}/push/race@{result.manifest_digest}")
        assert image.digest == result.digest


def test_an_interrupted_push_keeps_the_tag_and_leaves_no_file(registry: str, store: FakeStore, tmp_path: Path) -> None:
    first = push_store(registry, store, "push/interrupted:1", "hello")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = (*_LAMINA, "push", "hello", "large", "other", "--store", store.root, "--no-layer-cache")
    with subprocess.Popen(
        (*command, "--to", f"{registry}/push/interrupted:1", "--progress", "lines"),
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        process.stderr.readline()  # the first layer is there
        process.send_signal(2)
        process.stderr.read()
    assert process.returncode in (0, 130)
    (found,) = lamina.inspect(f"{registry}/push/interrupted:1")
    assert process.returncode == 0 or found.digest == first.digest
    assert list(temporary.iterdir()) == []
