"""Real engines take images from ``lamina load``: only missing layers cross, and only the name that was given stays."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench.repeat import create_change
from bench.watching import NAME, list_sources, watch
from bench.workloads import PlannedWorkload, Workload
from tests.integration.closures import Sample
from tests.integration.engines import Containerd, Engine
from tests.integration.images import machine_store

import lamina

DOCUMENTS_SIZE = 100_000
"""The most bytes that may cross beside layers (manifest, config, answers)."""
# Makes the images differ from those of other tests: an engine that several test processes use may delete an image
# between the moment when a pull finds that it exists and the moment when it gets its name.
_CONFIG = {"Labels": {"test": "load"}}


@dataclass(frozen=True, slots=True)
class Target:
    """An engine, and the folder of the program that reaches it."""

    into: str
    programs: Path
    list_names: Callable[[], tuple[str, ...]]
    remove: Callable[[str], object]
    full_name: Callable[[str], str]

    def load(self, tag: str, **arguments: Any) -> lamina.LoadResult:
        """Load an image called test/load, with a layer cache."""
        return lamina.load_layered_image(
            into=self.into,
            name="test/load",
            tag=tag,
            store=machine_store(),
            layer_cache=self.programs / "layers.sqlite",
            search_path=str(self.programs),
            **{"config": _CONFIG, **arguments},
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``lamina`` with the program of the engine first on PATH."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(self.programs), "XDG_CACHE_HOME": str(self.programs / "cache")}
        command = [sys.executable, "-m", "lamina", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def write_program(file: Path, command: tuple[str, ...], variables: Mapping[str, str], before: str = "") -> None:
    """Write a program that runs ``command`` with ``variables``; ``before`` are lines in which it is called ``$run``."""
    settings = " ".join(f"{key}={shlex.quote(value)}" for key, value in variables.items())
    run = f"env {settings} {shlex.join(command)}"
    file.write_text(f'#!/bin/sh\n{before.replace("$run", run)}\nexec {run} "$@"\n')
    file.chmod(0o755)


def target_docker(engine: Engine, folder: Path) -> Target:
    program, option, host = engine.command
    assert option == "--host"
    # The address is a default, as that of a context; lamina may name it again.
    script = f'#!/bin/sh\nDOCKER_HOST=${{DOCKER_HOST:-{host}}} exec {program} "$@"\n'
    (folder / "docker").write_text(script)
    (folder / "docker").chmod(0o755)
    return Target("docker", folder, engine.images, engine.remove, str)


def target_podman(engine: Engine, folder: Path) -> Target:
    # Containers have no network: setting one up needs programs that not every machine has.
    before = 'if [ "$1" = run ]; then shift; exec $run run --network none "$@"; fi'
    write_program(folder / "podman", engine.command, engine.environment, before)
    return Target("podman", folder, engine.images, engine.remove, "localhost/{}".format)


def target_containerd(engine: Containerd, folder: Path) -> Target:
    variables = {**engine.environment, "CONTAINERD_SNAPSHOTTER": engine.snapshotter}
    before = (
        f'if [ "$1" = run ]; then shift; exec $run run --fifo-dir {shlex.quote(str(engine.outputs / "fifo"))} "$@"; fi'
    )
    write_program(folder / "ctr", engine.command, variables, before)
    return Target("containerd", folder, engine.images, engine.remove, "docker.io/{}".format)


def target_engine(engine: Engine, folder: Path) -> Target:
    return (target_podman if engine.kind == "podman" else target_docker)(engine, folder)


@pytest.fixture
def target(any_engine: Engine | Containerd, tmp_path: Path) -> Target:
    """Each engine in turn."""
    if isinstance(any_engine, Containerd):
        return target_containerd(any_engine, tmp_path)
    return target_engine(any_engine, tmp_path)


def find_app(sample: Sample) -> str:
    (app,) = (path for path in sample.paths if path.endswith("-app-1.0"))
    return app


def test_only_layers_that_the_engine_lacks_cross(target: Target, small: Sample) -> None:
    first = target.load("1", contents=[find_app(small)])
    second = target.load("2", contents=[small.root])
    again = target.load("2", contents=[small.root])
    names = [target.full_name(f"test/load:{tag}") for tag in ("1", "2")]
    try:
        assert {first.way, second.way, again.way} == {"pull"}
        assert {*names} <= {*target.list_names()}
        # Some engines know a layer only on top of the same layers.
        common = 0
        while first.layers[common].diff_id == second.layers[common].diff_id:
            common += 1
        assert common >= 3
        assert second.blobs_sent <= len(second.layers) - common
        assert second.bytes_sent <= sum(layer.size for layer in second.layers[common:]) + DOCUMENTS_SIZE
        assert again.blobs_sent == 0
        assert again.bytes_sent <= DOCUMENTS_SIZE
    finally:
        for name in names:
            target.remove(name)


def test_nothing_of_the_loopback_address_stays(target: Target, any_engine: Engine | Containerd, small: Sample) -> None:
    before = {*target.list_names()}
    loaded = target.load("names", contents=[small.root])
    name = target.full_name("test/load:names")
    try:
        added = {*target.list_names()} - before
        assert name in added
        assert not [each for each in added if each.endswith("/lamina/image:latest")]
        if isinstance(any_engine, Engine) and any_engine.kind == "docker":  # podman keeps a list of all former names
            assert "127.0.0.1" not in json.dumps(any_engine.inspect(name))
        assert loaded.repo_tag == "test/load:names"
    finally:
        target.remove(name)


@pytest.mark.parametrize("title", ["spec file", "link", "file"])
def test_a_change_reaches_the_engine(every_engine: Engine, small: Sample, tmp_path: Path, title: str) -> None:
    target = target_engine(every_engine, tmp_path)
    changed = create_change(PlannedWorkload.of(Workload.from_roots([small.root])), tmp_path / "change", 1, 1000)
    (source,) = (each for each in list_sources(tmp_path, changed.before, changed.after) if each.title == title)
    environment = {**os.environ, "PATH": f"{target.programs}{os.pathsep}{os.environ['PATH']}"}
    name = target.full_name(NAME)
    ids = []
    try:
        with watch(source, target.into, tmp_path / "layers.sqlite", environment) as change:
            for _ in range(3):
                ids.append(every_engine.inspect(name)["Id"])
                assert change() > 0
    finally:
        every_engine.remove(name)
        for each in ids:  # the images before the changes, which lost their name
            every_engine.call("image", "rm", "--force", each, check=False)
    assert ids[0] != ids[1]
    assert (ids[0] == ids[2]) == (title == "link"), "the link points to the first store path again"


def test_the_image_of_an_archive_is_the_same(every_engine: Engine, small: Sample, tmp_path: Path) -> None:
    """An engine has the same image whether it pulled it or got an archive."""
    target = target_engine(every_engine, tmp_path)
    loaded = target.load("same", contents=[small.root], config={"Cmd": ["/bin/hello"], **_CONFIG})
    name = target.full_name("test/load:same")
    try:
        inspected = every_engine.inspect(name)
        assert inspected["RootFS"]["Layers"] == [str(layer.diff_id) for layer in loaded.layers]
        every_engine.check_id(name, loaded.digest)
        assert every_engine.run(name).stdout.startswith("good morning")
    finally:
        every_engine.remove(name)


def test_run_starts_the_image_and_has_its_exit_code(target: Target, small: Sample) -> None:
    (busybox,) = (path for path in small.paths if path.endswith("-busybox-static"))
    image = ("run", small.root, "-t", "test/load:run", "--into", target.into, "--progress", "lines")
    try:
        done = target.run(*image, "--", "/bin/hello", "a", "--b")
        assert done.returncode == 0, done.stderr
        assert "args: a --b" in done.stdout
        assert "test/load:run" in done.stderr
        assert target.run(*image, "--", f"{busybox}/bin/sh", "-c", "exit 7").returncode == 7
    finally:
        target.remove(target.full_name("test/load:run"))


def test_a_secret_is_no_argument_of_a_program(podman: Engine, small: Sample, tmp_path: Path) -> None:
    log = tmp_path / "arguments"
    before = f'echo "$@" >> {log}\ncase "$1" in pull) cat "$4" >> {tmp_path}/login ;; esac'
    write_program(tmp_path / "podman", podman.command, podman.environment, before)
    target = Target("podman", tmp_path, podman.images, podman.remove, "localhost/{}".format)
    target.load("secret", contents=[small.root])
    podman.remove("localhost/test/load:secret")
    ((_, login),) = json.loads((tmp_path / "login").read_text())["auths"].items()
    password = base64.b64decode(login["auth"]).decode().partition(":")[2]
    assert len(password) >= 32
    assert password not in log.read_text()
    assert login["auth"] not in log.read_text()
