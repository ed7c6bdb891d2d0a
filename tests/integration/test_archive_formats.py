"""Which loader takes which format of an archive, with which compression of its layers: docs/image.md says the same."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration import engines
from tests.integration.closures import Sample
from tests.integration.conftest import DOCKER_HOSTS
from tests.integration.engines import Containerd, Engine, Skopeo
from tests.integration.images import write_image
from tests.integration.tools import ToolError

import lamina
from lamina.images.readers.open import open_images
from lamina.images.writers.archives import FORMATS
from lamina.system.extents import read_head

COMPRESSIONS = ("none", "gzip", "zstd")
NAME = "docker.io/test/formats:1"
TRANSPORTS = ("docker-archive", "oci-archive")
# An OCI archive of images for two platforms, of which a loader takes that of this machine.
SEVERAL = "oci-index"

Archives = Mapping[tuple[str, str], tuple[Path, lamina.Image]]
"""The files and their images, by format and compression."""


@dataclass(frozen=True, slots=True)
class Loader:
    """A program that takes archives; a transport of skopeo is one too.

    Attributes:
        kind: docker, "docker with containerd's image store", podman, containerd, or the transport.
        version: the version of docker and podman.
        load: loads an archive, and asserts that it gave the image.
    """

    kind: str
    version: tuple[int, ...]
    load: Callable[[Path, lamina.Image], None]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The archives that a kind of loader refuses, and its message; ``before`` is the first version that takes them."""

    kind: str
    formats: tuple[str, ...]
    compressions: tuple[str, ...]
    message: str
    before: tuple[int, ...] = ()

    def applies(self, loader: Loader, format_name: str, compression: str) -> bool:
        return (
            loader.kind == self.kind
            and (not self.before or loader.version < self.before)
            and format_name in self.formats
            and compression in self.compressions
        )


REFUSALS = (
    # Up to version 28 at least, docker reads an index only with containerd's image store.
    Refusal("docker", ("oci", SEVERAL), COMPRESSIONS, r"blobs/json: no such file|not contain a manifest\.json"),
    Refusal("docker", ("docker", "hybrid"), ("zstd",), r"unexpected EOF|invalid tar header", before=(23,)),
    Refusal("docker-archive", ("oci", SEVERAL), COMPRESSIONS, r"manifest\.json.*(does not exist|not found)"),
    Refusal("oci-archive", ("docker",), COMPRESSIONS, r"index\.json: no such file"),
)


@pytest.fixture(scope="module")
def archives(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Return the same image in all formats and compressions."""
    folder = tmp_path_factory.mktemp("archives")
    found = {
        (format_name, compression): write_image(
            folder,
            small,
            file=f"{format_name}-{compression}.tar",
            name="docker.io/test/formats",
            format=format_name,
            layer_compression=compression,
            config={"Cmd": ["/bin/hello", "from an archive"]},
        )
        for format_name in FORMATS
        for compression in COMPRESSIONS
    }
    for compression in COMPRESSIONS:
        archive, image = found["oci", compression]
        found[SEVERAL, compression] = add_platform(archive, folder / f"{SEVERAL}-{compression}.tar"), image
    return found


def add_platform(archive: Path, output: Path) -> Path:
    """Write the image of an OCI archive with one of the same layers for another platform, behind an index."""
    (image,) = open_images(archive)
    config = json.dumps({**image.config, "architecture": "s390x"}).encode()
    other = output.with_suffix(".s390x.tar")
    names = [f"{number}.tar" for number, _ in enumerate(image.layers)]
    with tarfile.open(other, "w") as out:
        entry = {"Config": "config.json", "RepoTags": [NAME], "Layers": names}
        contents = {"config.json": config, "manifest.json": json.dumps([entry]).encode()}
        contents |= dict(zip(names, (read_head(one.tar, one.tar.length) for one in image.layers), strict=True))
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    lamina.merge_images([archive, other], output=output, format="oci")
    return output


_LOADERS = ["podman", "docker", *DOCKER_HOSTS, *TRANSPORTS, "containerd"]


@pytest.fixture(scope="module", params=_LOADERS, ids=engines.name_docker)
def loader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """Each program in turn that takes archives."""
    name: str = request.param
    if name in TRANSPORTS:
        skopeo: Skopeo = request.getfixturevalue("skopeo")
        return Loader(name, (), lambda archive, image: copy_with_skopeo(skopeo, f"{name}:{archive}", image))
    if name == "containerd":
        containerd: Containerd = request.getfixturevalue("containerd")
        return Loader(name, (), lambda archive, _: import_and_run(containerd, archive))
    if name in DOCKER_HOSTS:
        engine = engines.attach_docker(name, tmp_path_factory.mktemp("docker"))
    else:
        engine = request.getfixturevalue({"podman": "podman", "docker": "own_docker"}[name])
    store = " with containerd's image store" if engine.kind == "docker" and engine.driver == "overlayfs" else ""
    return Loader(engine.kind + store, engine.version, lambda archive, image: load(engine, archive, image))


def load(engine: Engine, archive: Path, image: lamina.Image) -> None:
    engine.load(archive)
    inspected = engine.inspect(NAME)
    assert inspected["RootFS"]["Layers"] == [str(layer.diff_id) for layer in image.layers]
    assert inspected["Config"]["Cmd"] == ["/bin/hello", "from an archive"]
    engine.remove(NAME)


def copy_with_skopeo(skopeo: Skopeo, source: str, image: lamina.Image) -> None:
    """Copy the image, for which skopeo checks all digests."""
    folder = f"{source.partition(':')[2]}.copy"
    skopeo.copy(source, f"dir:{folder}")
    assert skopeo.inspect(f"dir:{folder}", "--raw")["config"]["digest"] == image.id


def import_and_run(containerd: Containerd, archive: Path) -> None:
    containerd.import_(archive)
    assert "args: from containerd" in containerd.run(NAME, "/bin/hello", "from containerd").stdout
    containerd.remove(NAME)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("format_name", [*FORMATS, SEVERAL])
def test_a_loader_takes_every_archive_but_the_known_ones(
    loader: Loader, archives: Archives, format_name: str, compression: str
) -> None:
    archive, image = archives[format_name, compression]
    refusal = next((one for one in REFUSALS if one.applies(loader, format_name, compression)), None)
    if refusal is None:
        loader.load(archive, image)
        return
    with pytest.raises(ToolError, match=refusal.message):
        loader.load(archive, image)


def test_an_engine_runs_a_hybrid_archive_from_a_pipe(engine: Engine, archives: Archives) -> None:
    archive, _ = archives["hybrid", "gzip"]
    with archive.open("rb") as file:
        engine.load(file)
    assert "args: from an archive" in engine.run(NAME).stdout
    engine.remove(NAME)


@pytest.mark.parametrize(
    ("format_name", "registry"), [("docker", "localhost"), ("oci", "docker.io"), ("hybrid", "docker.io")]
)
def test_podman_adds_a_registry_to_a_short_name_and_finds_the_image_without_it(
    podman: Engine, small: Sample, tmp_path: Path, format_name: str, registry: str
) -> None:
    archive, _ = write_image(tmp_path, small, format=format_name, config={"Cmd": ["/bin/hello", "short"]})
    podman.load(archive)
    assert f"{registry}/test/image:1" in podman.images()
    assert "args: short" in podman.run("test/image:1").stdout
    podman.remove(f"{registry}/test/image:1")
