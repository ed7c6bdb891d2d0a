"""Engines and clients pull images from `lamina serve`, which makes them on demand, and run them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample
from tests.integration.engines import Containerd, Engine, RegistryClient, Skopeo
from tests.support.fake_nix_store import example
from tests.support.served_images import layers_of
from tests.support.serving import Serving, serve

import lamina
from lamina.core.names import StorePath

_SPEC = """\
[app]
tag = "1"
contents = ["{root}"]
config.Cmd = ["/bin/hello"]
layerCompression = "{compression}"
"""
_MAX_MEMORY = 300 << 10  # in KiB


@dataclass(frozen=True, slots=True)
class PythonImage:
    """The name of an image with Python, and its program; ``arguments`` make it print ``expected``."""

    name: str
    program: str
    arguments: tuple[str, str] = ("-c", "import json, sqlite3, sys; print(json.dumps(7), sys.executable)")

    @property
    def expected(self) -> list[str]:
        return ["7", self.program]


@pytest.fixture(scope="module", params=["gzip", "none"])
def serving(
    request: pytest.FixtureRequest, small: Sample, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A server of the image app:1, and of packages by name, for each compression in turn."""
    folder = tmp_path_factory.mktemp("serve")
    spec = folder / "lamina.toml"
    spec.write_text(_SPEC.format(root=small.root, compression=request.param))
    with serve(folder, "--store", "/", "--spec", spec, "--allow", "*") as server:
        yield server


def test_an_engine_pulls_and_runs_an_image(every_engine: Engine, serving: Serving) -> None:
    reference = f"{serving.address}/app:1"
    every_engine.pull(reference)
    assert every_engine.run(reference).stdout.startswith("good morning")
    digest = serving.get("/v2/app/manifests/1").headers["docker-content-digest"]
    assert f"{serving.address}/app@{digest}" in every_engine.inspect(reference)["RepoDigests"]
    every_engine.remove(reference)


def test_an_engine_pulls_a_store_path_by_its_hash(every_engine: Engine, serving: Serving, small: Sample) -> None:
    reference = f"{serving.address}/{StorePath.parse(small.root).hash}:latest"
    every_engine.pull(reference)
    assert every_engine.run(reference, "/bin/hello").stdout.startswith("good morning")
    every_engine.remove(reference)


def test_an_engine_says_why_an_image_cannot_be_made(every_engine: Engine, serving: Serving) -> None:
    done = every_engine.pull(f"{serving.address}/there-is-no-such-package:latest", check=False)
    assert done.returncode != 0
    # Docker with the store of containerd shows no message of a registry for what does not exist.
    expected = "not found" if every_engine.driver == "overlayfs" else "no valid path of that name"
    assert expected in done.stderr


@pytest.fixture
def python(extra_roots: tuple[str, ...], nix: Nix) -> PythonImage:
    """A larger image, of the closure in LAMINA_TEST_ROOTS that has Python."""
    for root in extra_roots:
        for path in nix.requisites(root):
            if (Path(path) / "bin/python3").exists():
                return PythonImage(StorePath.parse(root).hash, f"{path}/bin/python3")
    pytest.skip("LAMINA_TEST_ROOTS names no closure with Python")


def test_an_engine_runs_python(every_engine: Engine, serving: Serving, python: PythonImage) -> None:
    reference = f"{serving.address}/{python.name}:latest"
    with every_engine.pulled(reference):
        done = every_engine.run(reference, *python.arguments, options=("--entrypoint", python.program))
        assert done.stdout.split() == python.expected


def test_containerd_runs_python(every_containerd: Containerd, serving: Serving, python: PythonImage) -> None:
    reference = f"{serving.address}/{python.name}:latest"
    every_containerd.pull(reference)
    done = every_containerd.run(reference, python.program, *python.arguments)
    assert done.stdout.split() == python.expected
    every_containerd.remove(reference)


def test_containerd_pulls_and_runs_an_image(every_containerd: Containerd, serving: Serving) -> None:
    reference = f"{serving.address}/app:1"
    every_containerd.pull(reference)
    assert every_containerd.run(reference).stdout.startswith("good morning")
    every_containerd.remove(reference)


def test_skopeo_copies_an_image_unchanged(every_skopeo: Skopeo, serving: Serving, tmp_path: Path) -> None:
    source = f"docker://{serving.address}/app:1"
    assert every_skopeo.inspect(source, "--tls-verify=false")["RepoTags"] == ["1"]
    every_skopeo.copy(source, f"oci:{tmp_path}/layout:1", "--src-tls-verify=false", "--preserve-digests")
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert entry["digest"] == serving.get("/v2/app/manifests/1").headers["docker-content-digest"]
    assert len(lamina.inspect(tmp_path / "layout")) == 1


def test_crane_finds_the_tags_and_the_digest(crane: RegistryClient, serving: Serving) -> None:
    assert crane.call("ls", "--insecure", f"{serving.address}/app").split() == ["1"]
    digest = serving.get("/v2/app/manifests/1").headers["docker-content-digest"]
    assert crane.call("digest", "--insecure", f"{serving.address}/app:1").strip() == digest


def test_crane_pulls_an_image_unchanged(crane: RegistryClient, serving: Serving, tmp_path: Path) -> None:
    crane.call("pull", "--insecure", "--format=oci", f"{serving.address}/app:1", f"{tmp_path}/layout")
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert entry["digest"] == serving.get("/v2/app/manifests/1").headers["docker-content-digest"]
    assert len(lamina.inspect(tmp_path / "layout")) == 1


def test_oras_copies_an_image_unchanged(oras: RegistryClient, serving: Serving, tmp_path: Path) -> None:
    oras.call("copy", "--from-plain-http", "--to-oci-layout", f"{serving.address}/app:1", f"{tmp_path}/layout:1")
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert entry["digest"] == serving.get("/v2/app/manifests/1").headers["docker-content-digest"]


def test_sixty_four_pulls_of_a_cold_image_make_every_layer_once_in_little_memory(tmp_path: Path) -> None:
    store, _ = example(tmp_path / "root")
    for number in range(4):
        store.add(f"large{number}-1", {f"data{number}": os.urandom(24 << 20)})
    names = "large0/large1/large2/large3"
    with serve(tmp_path, "--store", store.root) as server:

        def pull(_: int) -> str:
            manifest = server.get(f"/v2/{names}/manifests/latest").body
            for digest in layers_of(json.loads(manifest)):
                target = f"{server.url}/v2/{names}/blobs/{digest}"
                hashing = f"curl -sf {target} | sha256sum"
                done = subprocess.run(hashing, shell=True, check=True, capture_output=True, text=True)
                assert digest.removeprefix("sha256:") == done.stdout.split()[0]
            return manifest.decode()

        with ThreadPoolExecutor(64) as pool:
            assert len(set(pool.map(pull, range(64)))) == 1
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < _MAX_MEMORY


def test_an_engine_takes_the_image_for_its_platform(every_engine: Engine, small: Sample, tmp_path: Path) -> None:
    """The other platform is not in the index, because the programs of the image are for this one."""
    name = StorePath.parse(small.root).hash
    with serve(tmp_path, "--store", "/", "--platform", "linux/amd64", "--platform", "linux/arm64") as server:
        entries = server.get_json(f"/v2/{name}/manifests/latest")["manifests"]
        assert [entry["platform"]["architecture"] for entry in entries] == ["amd64"]
        reference = f"{server.address}/{name}:latest"
        with every_engine.pulled(reference):
            assert every_engine.run(reference, "/bin/hello").stdout.startswith("good morning")
        assert every_engine.pull(reference, options=("--platform", "linux/arm64"), check=False).returncode != 0
