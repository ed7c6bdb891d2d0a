"""OCI layouts and compressed layers in real tools, which read, copy, load and run them."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.integration.closures import Sample
from tests.integration.engines import Containerd, Engine, Skopeo
from tests.integration.images import machine_store, write_image
from tests.integration.tools import ToolError, require

import lamina

COMPRESSIONS = ["none", "gzip", "zstd"]


def write_layout(folder: Path, sample: Sample, compression: str, **arguments: object) -> lamina.Image:
    """Write the image of ``sample`` as a layout in ``folder``."""
    defaults = {"name": "test/image", "tag": "1", "contents": [sample.root], "store": machine_store(), **arguments}
    return lamina.build_layered_image(output=f"{folder}/", layer_compression=compression, **defaults)  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_skopeo_finds_the_image_in_a_layout(skopeo: Skopeo, small: Sample, tmp_path: Path, compression: str) -> None:
    image = write_layout(tmp_path / "layout", small, compression, config={"Cmd": ["/bin/hello"]})
    reference = f"oci:{tmp_path}/layout:1"
    manifest = json.loads(skopeo.call("inspect", "--raw", reference).stdout)
    assert manifest["config"]["digest"] == image.id
    config = skopeo.inspect(reference, "--config")
    assert config["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in image.layers]
    assert config["config"]["Cmd"] == ["/bin/hello"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_skopeo_copies_a_layout_and_checks_every_digest(
    skopeo: Skopeo, small: Sample, tmp_path: Path, compression: str
) -> None:
    """Skopeo checks the digest of every blob that it copies, compressed and decompressed."""
    image = write_layout(tmp_path / "layout", small, compression)
    skopeo.copy(f"oci:{tmp_path}/layout:1", f"dir:{tmp_path}/copy", "--dest-decompress")
    layers = json.loads((tmp_path / "copy/manifest.json").read_text())["layers"]
    assert [layer["digest"] for layer in layers] == [str(layer.diff_id) for layer in image.layers]


def test_a_tag_of_two_images_names_the_last_written_one(skopeo: Skopeo, small: Sample, tmp_path: Path) -> None:
    """In skopeo 1.9, 1.18 and 1.22 only the annotation of the tag decides."""
    images = {
        name: write_layout(tmp_path / "layout", small, "none", name=name, config={"Env": [f"NAME={name}"]})
        for name in ("test/one", "localhost/two", "test/three")
    }

    def read_image_id(reference: str) -> str:
        manifest = json.loads(skopeo.call("inspect", "--raw", f"oci:{tmp_path}/layout:{reference}").stdout)
        return str(manifest["config"]["digest"])

    assert read_image_id("1") == images["test/three"].id
    assert read_image_id("test/one:1") == images["test/one"].id
    assert read_image_id("localhost/two:1") == images["localhost/two"].id
    write_layout(tmp_path / "layout", small, "none", name="test/one", config={"Env": ["NAME=test/one"]})
    assert read_image_id("1") == images["test/one"].id
    assert read_image_id("test/three:1") == images["test/three"].id


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_podman_runs_a_layout(podman: Engine, small: Sample, tmp_path: Path, compression: str) -> None:
    write_layout(tmp_path / "layout", small, compression, config={"Cmd": ["/bin/hello", "from a layout"]})
    image = podman.call("pull", "--quiet", f"oci:{tmp_path}/layout:1").stdout.strip()
    assert "args: from a layout" in podman.run(image).stdout
    podman.call("rmi", "--force", image)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_containerd_imports_a_layout_under_its_full_name(
    containerd: Containerd, small: Sample, tmp_path: Path, compression: str
) -> None:
    write_layout(tmp_path / "layout", small, compression, config={"Cmd": ["/bin/hello"]})
    archive = tmp_path / "layout.tar"
    subprocess.run(["tar", "-C", tmp_path / "layout", "-cf", archive, "."], check=True)
    containerd.import_(archive)
    assert containerd.images() == ("docker.io/test/image:1",)
    output = containerd.run("docker.io/test/image:1", "/bin/hello", "from containerd").stdout
    assert "args: from containerd" in output
    containerd.remove("docker.io/test/image:1")


@pytest.mark.parametrize("compression", ["gzip", "gzip:6", "zstd", "zstd:19"])
def test_an_archive_of_compressed_layers_runs(engine: Engine, small: Sample, tmp_path: Path, compression: str) -> None:
    archive, image = write_image(
        tmp_path, small, layer_compression=compression, config={"Cmd": ["/bin/hello", compression]}
    )
    if engine.kind == "docker" and engine.version < (23,) and compression.startswith("zstd"):
        with pytest.raises(ToolError, match=r"unexpected EOF|invalid tar header"):
            engine.load(archive)
        return  # see docs/image.md
    name = "localhost/test/image:1" if engine.kind == "podman" else "test/image:1"
    assert name in engine.load(archive)
    assert f"args: {compression}" in engine.run(name).stdout
    engine.check_id(name, image.digest)  # that of plain layers
    engine.remove(name)


@pytest.mark.parametrize(("compression", "tool"), [("gzip", "gunzip"), ("zstd", "zstd")])
def test_the_usual_tools_unpack_a_blob(small: Sample, tmp_path: Path, compression: str, tool: str) -> None:
    image = write_layout(tmp_path / "layout", small, compression)
    manifest = json.loads((tmp_path / "layout/index.json").read_text())["manifests"][0]["digest"]
    blobs = tmp_path / "layout/blobs/sha256"
    for layer, expected in zip(json.loads((blobs / manifest[7:]).read_text())["layers"], image.layers, strict=True):
        blob = blobs / layer["digest"][7:]
        assert blob.stat().st_size == layer["size"]
        with blob.open("rb") as file:
            plain = subprocess.run([require(tool), "-dc"], stdin=file, capture_output=True, check=True).stdout
        assert len(plain) == expected.size
