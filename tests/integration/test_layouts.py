"""OCI layouts and compressed layers in real tools: they are read, copied, loaded and run."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.integration.closures import Sample
from tests.integration.engines import Containerd, Engine, Skopeo
from tests.integration.images import image_file, machine
from tests.integration.tools import ToolError, require

import lamina

WORDS = ["none", "gzip", "zstd"]


def layout(folder: Path, sample: Sample, words: str, **arguments: object) -> lamina.Image:
    """The image of ``sample`` as a layout in ``folder``."""
    named = {"name": "test/image", "tag": "1", "contents": [sample.root], "store": machine(), **arguments}
    return lamina.build_layered_image(output=f"{folder}/", layer_compression=words, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", WORDS)
def test_skopeo_finds_the_image_in_a_layout(skopeo: Skopeo, small: Sample, tmp_path: Path, words: str) -> None:
    image = layout(tmp_path / "layout", small, words, config={"Cmd": ["/bin/hello"]})
    reference = f"oci:{tmp_path}/layout:1"
    manifest = json.loads(skopeo.call("inspect", "--raw", reference).stdout)
    assert manifest["config"]["digest"] == image.id
    config = skopeo.inspect(reference, "--config")
    assert config["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in image.layers]
    assert config["config"]["Cmd"] == ["/bin/hello"]


@pytest.mark.parametrize("words", WORDS)
def test_skopeo_copies_a_layout_with_every_digest_checked(
    skopeo: Skopeo, small: Sample, tmp_path: Path, words: str
) -> None:
    """Skopeo hashes every blob that it copies, and what it unpacks."""
    image = layout(tmp_path / "layout", small, words)
    skopeo.copy(f"oci:{tmp_path}/layout:1", f"dir:{tmp_path}/copy", "--dest-decompress")
    layers = json.loads((tmp_path / "copy/manifest.json").read_text())["layers"]
    assert [layer["digest"] for layer in layers] == [str(layer.diff_id) for layer in image.layers]


def test_a_tag_of_two_images_is_that_of_the_one_written_last(skopeo: Skopeo, small: Sample, tmp_path: Path) -> None:
    """The same with skopeo 1.9, 1.18 and 1.22: the annotation of the tag alone decides."""
    images = {
        name: layout(tmp_path / "layout", small, "none", name=name, config={"Env": [f"NAME={name}"]})
        for name in ("test/one", "localhost/two", "test/three")
    }

    def found(reference: str) -> str:
        manifest = json.loads(skopeo.call("inspect", "--raw", f"oci:{tmp_path}/layout:{reference}").stdout)
        return str(manifest["config"]["digest"])

    assert found("1") == images["test/three"].id
    assert found("test/one:1") == images["test/one"].id
    assert found("localhost/two:1") == images["localhost/two"].id
    layout(tmp_path / "layout", small, "none", name="test/one", config={"Env": ["NAME=test/one"]})
    assert found("1") == images["test/one"].id
    assert found("test/three:1") == images["test/three"].id


@pytest.mark.parametrize("words", WORDS)
def test_podman_runs_a_layout(podman: Engine, small: Sample, tmp_path: Path, words: str) -> None:
    layout(tmp_path / "layout", small, words, config={"Cmd": ["/bin/hello", "from a layout"]})
    image = podman.call("pull", "--quiet", f"oci:{tmp_path}/layout:1").stdout.strip()
    assert "args: from a layout" in podman.run(image).stdout
    podman.call("rmi", "--force", image)


@pytest.mark.parametrize("words", WORDS)
def test_containerd_imports_a_layout_under_its_whole_name(
    containerd: Containerd, small: Sample, tmp_path: Path, words: str
) -> None:
    layout(tmp_path / "layout", small, words, config={"Cmd": ["/bin/hello"]})
    archive = tmp_path / "layout.tar"
    subprocess.run(["tar", "-C", tmp_path / "layout", "-cf", archive, "."], check=True)
    containerd.import_(archive)
    assert containerd.images() == ("docker.io/test/image:1",)
    said = containerd.run("docker.io/test/image:1", "/bin/hello", "from containerd").stdout
    assert "args: from containerd" in said
    containerd.remove("docker.io/test/image:1")


@pytest.mark.parametrize("words", ["gzip", "gzip:6", "zstd", "zstd:19"])
def test_an_archive_of_compressed_layers_runs(engine: Engine, small: Sample, tmp_path: Path, words: str) -> None:
    archive, image = image_file(tmp_path, small, layer_compression=words, config={"Cmd": ["/bin/hello", words]})
    if engine.kind == "docker" and engine.version < (23,) and words.startswith("zstd"):
        with pytest.raises(ToolError, match=r"unexpected EOF|invalid tar header"):
            engine.load(archive)
        return  # as docs/image.md says
    name = "localhost/test/image:1" if engine.kind == "podman" else "test/image:1"
    assert name in engine.load(archive)
    assert f"args: {words}" in engine.run(name).stdout
    found = engine.inspect(name)
    assert found["Id"].removeprefix("sha256:") == image.digest.hex, "the image is that of plain layers"
    engine.remove(name)


@pytest.mark.parametrize(("words", "tool"), [("gzip", "gunzip"), ("zstd", "zstd")])
def test_the_usual_tools_unpack_a_blob(small: Sample, tmp_path: Path, words: str, tool: str) -> None:
    image = layout(tmp_path / "layout", small, words)
    manifest = json.loads((tmp_path / "layout/index.json").read_text())["manifests"][0]["digest"]
    blobs = tmp_path / "layout/blobs/sha256"
    for layer, known in zip(json.loads((blobs / manifest[7:]).read_text())["layers"], image.layers, strict=True):
        blob = blobs / layer["digest"][7:]
        assert blob.stat().st_size == layer["size"]
        with blob.open("rb") as file:
            plain = subprocess.run([require(tool), "-dc"], stdin=file, capture_output=True, check=True).stdout
        assert len(plain) == known.size
