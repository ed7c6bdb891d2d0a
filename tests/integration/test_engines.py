"""Images in real engines: they load, run, serve HTTP, and have the digests that lamina reports."""

import io
import json
from pathlib import Path

import pytest
from tests.integration.closures import Sample
from tests.integration.engines import Containerd, Engine, Skopeo
from tests.integration.images import machine_store, write_image
from tests.integration.tools import ToolError, fetch, loopback_port

import lamina

NAME = "localhost/test/image:1"


def _load(engine: Engine, archive: Path) -> str:
    """Load ``archive`` from a stream, as ``lamina stream | ENGINE load`` does, and return the name of the image."""
    with archive.open("rb") as file:
        output = engine.load(file)
    name = "localhost/test/image:1" if engine.kind == "podman" else "test/image:1"
    assert name in output
    return name


def test_an_image_of_a_real_closure_runs(engine: Engine, small: Sample, tmp_path: Path) -> None:
    archive, image = write_image(tmp_path, small, config={"Cmd": ["/bin/hello", "a", "b"]})
    name = _load(engine, archive)
    output = engine.run(name).stdout
    assert output.splitlines()[:3] == ["good morning", "args: a b", "uid: 0"]
    engine.check_id(name, image.digest)
    assert engine.inspect(name)["RootFS"]["Layers"] == [str(layer.diff_id) for layer in image.layers]
    engine.remove(name)


def test_a_server_answers_over_http(engine: Engine, small: Sample, tmp_path: Path) -> None:
    archive, _ = write_image(tmp_path, small)
    name = _load(engine, archive)
    port = loopback_port()
    with engine.serving(name, "/bin/serve", options=("--env", f"PORT={port}")):
        assert fetch(port, "/greeting.txt") == b"good morning\n"
    engine.remove(name)


def test_the_config_reaches_the_container(engine: Engine, small: Sample, tmp_path: Path) -> None:
    busybox = next(path for path in small.paths if path.endswith("busybox-static"))
    archive, _ = write_image(
        tmp_path,
        small,
        contents=[small.root, busybox],
        config={
            "Entrypoint": ["/bin/sh", "-c"],
            "Cmd": ["echo $COLOUR; id -u; pwd; stat -c %a:%u:%g /tmp /srv/data /etc/motd; cat /etc/motd; readlink /hi"],
            "Env": ["COLOUR=blue", "PATH=/bin"],
            "User": "1000:100",
            "WorkingDir": "/srv",
        },
        tree=[
            lamina.Dir("/tmp", 0o1777),
            lamina.Dir("/srv/data", 0o750, 1000, 100),
            lamina.Symlink("/hi", "/bin/hello"),
            lamina.Perm("/etc/motd", 0o640, 0, 100),
        ],
        extra_commands="mkdir -p etc; echo hello from a script > etc/motd",
    )
    name = _load(engine, archive)
    assert engine.run(name).stdout.splitlines() == [
        "blue",
        "1000",
        "/srv",
        "1777:0:0",
        "750:1000:100",
        "640:0:100",
        "hello from a script",
        "/bin/hello",
    ]
    engine.remove(name)


def test_an_awkward_closure_has_the_reported_layers(engine: Engine, awkward: Sample, tmp_path: Path) -> None:
    archive, image = write_image(tmp_path, awkward)
    name = _load(engine, archive)
    assert engine.inspect(name)["RootFS"]["Layers"] == [str(layer.diff_id) for layer in image.layers]
    engine.remove(name)


def test_a_store_can_be_owned_by_a_user(engine: Engine, small: Sample, tmp_path: Path) -> None:
    busybox = next(path for path in small.paths if path.endswith("busybox-static"))
    archive, _ = write_image(
        tmp_path, small, contents=[busybox], uid=1000, gid=100, uname="alice", gname="users", config={"User": "1000"}
    )
    name = _load(engine, archive)
    output = engine.run(name, "/bin/stat", "-c", "%a %u %g", "/nix", "/nix/store", busybox).stdout
    assert output.splitlines() == ["755 1000 100", "755 1000 100", "555 1000 100"]
    engine.remove(name)


@pytest.mark.parametrize("layers", [2, 100])
def test_docker_loads_as_many_layers_as_requested(docker: Engine, extra: Sample, layers: int) -> None:
    stream = lamina.stream_layered_image(
        name="test/image", tag="1", contents=[extra.root], store=machine_store(), max_layers=layers
    )
    out = io.BytesIO()
    image = stream.write_to(out)
    assert len(image.layers) == min(layers, len(extra.paths) + 1)
    out.seek(0)
    docker.load(out)
    assert len(docker.inspect("test/image:1")["RootFS"]["Layers"]) == len(image.layers)
    docker.remove("test/image:1")


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_docker_loads_a_compressed_file(docker: Engine, small: Sample, tmp_path: Path, ending: str) -> None:
    archive, image = write_image(tmp_path, small, file="image" + ending)
    docker.load(archive)
    docker.check_id("test/image:1", image.digest)
    docker.remove("test/image:1")


def test_docker_loads_zstd_since_version_23(docker: Engine, small: Sample, tmp_path: Path) -> None:
    archive, image = write_image(tmp_path, small, file="image.tar.zst")
    if docker.version < (23,):
        with pytest.raises(ToolError, match="invalid tar header"):
            docker.load(archive)
        return
    docker.load(archive)
    docker.check_id("test/image:1", image.digest)
    docker.remove("test/image:1")


def test_two_images_share_the_layers_of_common_paths(own_docker: Engine, small: Sample, tmp_path: Path) -> None:
    _, whole = write_image(tmp_path, small)
    app = next(path for path in small.paths if path.endswith("-app-1.0"))
    _, part = write_image(tmp_path, small, contents=[app])
    shared = {layer.diff_id for layer in whole.layers} & {layer.diff_id for layer in part.layers}
    assert len(shared) >= len(part.layers) - 1


def test_skopeo_inspects_the_archive(skopeo: Skopeo, small: Sample, tmp_path: Path) -> None:
    archive, image = write_image(tmp_path, small, config={"Cmd": ["/bin/hello"], "Labels": {"a": "b"}})
    inspected = skopeo.inspect(f"docker-archive:{archive}")
    assert inspected["Labels"] == {"a": "b"}
    assert inspected["Architecture"] in ("amd64", "arm64")
    assert inspected["Layers"] == [str(layer.diff_id) for layer in image.layers]
    config = skopeo.inspect(f"docker-archive:{archive}", "--config")
    assert config["config"]["Cmd"] == ["/bin/hello"]


def test_skopeo_copies_the_archive_to_an_oci_layout(skopeo: Skopeo, small: Sample, tmp_path: Path) -> None:
    archive, image = write_image(tmp_path, small)
    skopeo.copy(f"docker-archive:{archive}", f"oci:{tmp_path / 'layout'}:1")
    config = skopeo.inspect(f"oci:{tmp_path / 'layout'}:1", "--config")
    assert config["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in image.layers]


def test_containerd_imports_and_runs_an_image(containerd: Containerd, small: Sample, tmp_path: Path) -> None:
    archive, _ = write_image(tmp_path, small, name="example.org/test/image", config={"Cmd": ["/bin/hello"]})
    containerd.import_(archive)
    assert "example.org/test/image:1" in containerd.images()
    assert containerd.run("example.org/test/image:1").stdout.startswith("good morning")
    containerd.remove("example.org/test/image:1")


def test_what_docker_saves_can_be_inspected(docker: Engine, small: Sample, tmp_path: Path) -> None:
    archive, image = write_image(tmp_path, small)
    docker.load(archive)
    saved = tmp_path / "saved.tar"
    docker.call("save", "--output", saved, "test/image:1")
    (found,) = lamina.inspect(saved)
    assert found.repo_tags == ("test/image:1",)
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
    assert [set(layer.paths) for layer in found.layers] == [set(layer.paths) for layer in image.layers]
    assert json.dumps(found.config["config"], sort_keys=True)
    docker.remove("test/image:1")
