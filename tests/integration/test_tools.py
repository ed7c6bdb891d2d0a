"""The fixtures of the outside tools work without lamina."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from tests.integration import tools
from tests.integration.closures import Nix, Sample
from tests.integration.engines import Containerd, Engine, Skopeo, attach_docker
from tests.integration.tools import fetch, loopback_port

Archive = Callable[[Sample, str], Path]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A function that writes test/PROGRAM:1, a docker-archive that runs a program of a closure; GNU tar packs it."""

    def write(sample: Sample, program: str) -> Path:
        name = program.rpartition("/")[2]
        path = tmp_path_factory.mktemp("archive") / f"{name}.tar"
        names = [store_path.removeprefix("/") for store_path in sample.paths]
        pack = ("tar", "-C", "/", "--format=posix", "-c", *names)
        layer = subprocess.run(pack, stdout=subprocess.PIPE, check=True).stdout
        config = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux",
            "config": {"Entrypoint": [f"{sample.root}/{program}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
        }
        manifest = [{"Config": "config.json", "RepoTags": [f"test/{name}:1"], "Layers": ["layer.tar"]}]
        with tarfile.open(path, "w") as tar:
            for member, content in (
                ("layer.tar", layer),
                ("config.json", json.dumps(config).encode()),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return write


# Finding tools


def test_a_missing_tool_skips_the_test_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tools.REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^no-such-tool is not installed$"):
        tools.require("no-such-tool")


def test_a_missing_tool_fails_the_test_where_tools_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tools.REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match=r"^no-such-tool is not installed$"):
        tools.require("no-such-tool")


def test_tests_are_counted_by_their_missing_tool() -> None:
    reasons = [
        "Skipped: podman is not installed",
        "podman is not installed",
        "Failed: dockerd is unusable here: no root\nand more",
        "Skipped: LAMINA_TEST_NIX names no other Nix",
        "AssertionError",
    ]
    assert tools.count_missing(reasons) == {"podman is not installed": 2, "dockerd is unusable here: no root": 1}


def test_a_tool_does_not_see_the_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    monkeypatch.setenv("NIX_REMOTE", "daemon")
    assert not {"DOCKER_HOST", "NIX_REMOTE"} & tools.environment().keys()


def test_a_stream_in_memory_can_be_a_tools_standard_input() -> None:
    output = tools.run(("cat",), tools.environment(), stdin=io.BytesIO(b"from memory\xff")).stdout
    assert output == "from memory\udcff"


def test_the_error_of_a_failed_tool_has_its_output() -> None:
    with pytest.raises(tools.ToolError, match="exit status 3\nbecause"):
        tools.run(("sh", "-c", "echo because >&2; exit 3"), tools.environment())


def test_a_server_that_ends_early_shows_the_end_of_its_log(tmp_path: Path) -> None:
    server = tools.start_server(
        ("sh", "-c", "echo no such setting; exit 1"), tools.environment(), tmp_path / "log", lambda: False
    )
    with pytest.raises(tools.ToolError, match="does not answer\nno such setting"), server:
        pass


# Nix


def test_nix_verifies_the_small_closure(nix: Nix, small: Sample) -> None:
    nix.verify(*small.paths)
    assert small.root in small.paths
    assert len(small.paths) == 6


def test_nix_verifies_the_awkward_closure(nix: Nix, awkward: Sample) -> None:
    nix.verify(*awkward.paths)
    assert awkward.root.endswith("-awkward-1.0+x_y=z?q")


def test_the_small_closure_runs_without_a_container(small: Sample) -> None:
    output = tools.run((f"{small.root}/bin/hello", "a", "b c"), tools.environment()).stdout.splitlines()
    assert output[:2] == ["good morning", "args: a b c"]


def test_a_path_of_the_small_closure_refers_to_itself(nix: Nix, small: Sample) -> None:
    assert any(path in nix.references(path) for path in small.paths)


def test_the_awkward_closure_has_store_paths_that_are_no_directories(awkward: Sample) -> None:
    paths = {path.partition("-")[2]: Path(path) for path in awkward.paths}
    assert paths["plain-file"].is_file()
    assert os.access(paths["program"], os.X_OK)
    assert paths["link-to-directory"].is_symlink()
    assert paths["link-to-directory"].is_dir()
    assert list(paths["void"].iterdir()) == []
    assert max(map(len, paths)) == 207


def test_the_awkward_names_sort_differently_as_bytes_as_text_and_by_component(awkward: Sample) -> None:
    names = os.listdir(os.fsencode(f"{awkward.root}/order"))
    assert sorted(names) != [os.fsencode(name) for name in sorted(map(os.fsdecode, names))]
    paths = [path.removeprefix(awkward.root + "/") for path in _walk(awkward.root)]
    assert sorted(paths) != sorted(paths, key=lambda path: path.split("/"))


def test_the_awkward_names_and_targets_have_the_lengths_at_which_tar_changes(awkward: Sample) -> None:
    members = {len(os.fsencode(path)) - 1 for path in _walk(awkward.root)}
    assert members >= {98, 99, 100, 101, 102, 154, 155, 156, 157, 254, 255, 256, 257, 258}
    assert max(members) > 300
    targets = {len(os.readlink(path)) for path in _walk(awkward.root) if os.path.islink(path)}
    assert targets >= {99, 100, 101, 255, 256, 480}


def test_the_hash_of_nix_is_that_of_its_nar(nix: Nix, awkward: Sample) -> None:
    assert nix.hash(awkward.root) == sha256(nix.dump(awkward.root)).hexdigest()


def test_nix_describes_every_path_of_a_closure(nix: Nix, small: Sample) -> None:
    assert len(nix.path_info_json(small.root)) == len(small.paths)


def test_another_nix_agrees_about_the_content_of_a_path(nix: Nix, newer_nix: Nix, awkward: Sample) -> None:
    assert newer_nix.version() != nix.version()
    assert newer_nix.hash(awkward.root) == nix.hash(awkward.root)
    assert set(newer_nix.requisites(awkward.root)) == set(awkward.paths)
    assert newer_nix.path_info_json(awkward.root)


def test_extra_roots_are_in_the_store(nix: Nix, extra_roots: tuple[str, ...]) -> None:
    for root in extra_roots:
        assert root in nix.requisites(root)


# Engines


def test_an_engine_loads_an_image_and_runs_it(engine: Engine, small: Sample, archive: Archive) -> None:
    assert "test/hello:1" in engine.load(archive(small, "bin/hello"))
    output = engine.run("test/hello:1", "a", "b c", options=("--user", "12:34")).stdout.splitlines()
    assert output[:3] == ["good morning", "args: a b c", "uid: 12"]
    assert engine.inspect("test/hello:1")["Config"]["Entrypoint"] == [f"{small.root}/bin/hello"]
    engine.remove("test/hello:1")
    assert not any("test/hello" in name for name in engine.images())


def test_an_engine_loads_an_image_from_a_stream(engine: Engine, small: Sample, archive: Archive) -> None:
    with archive(small, "bin/hello").open("rb") as stream:
        assert "test/hello:1" in engine.load(stream)
    engine.remove("test/hello:1")


def test_an_engine_serves_http_on_loopback(engine: Engine, small: Sample, archive: Archive) -> None:
    engine.load(archive(small, "bin/serve"))
    port = loopback_port()
    with engine.serving("test/serve:1", options=("--env", f"PORT={port}")):
        assert fetch(port, "/greeting.txt") == b"good morning\n"
        assert b"small site" in fetch(port, "/index.html")
    engine.remove("test/serve:1")


def test_an_engine_keeps_every_awkward_name(engine: Engine, awkward: Sample, archive: Archive) -> None:
    engine.load(archive(awkward, "bin/hi"))
    output = engine.run("test/hi:1").stdout.split()
    assert output == ["hi", str(1 + len(_walk(awkward.root)))]
    engine.remove("test/hi:1")


def test_an_engine_has_a_version_and_a_driver(engine: Engine) -> None:
    assert engine.version > (3,)
    assert engine.driver in {"overlay", "overlay2", "overlayfs", "vfs"}


def test_an_engine_never_pulls_a_missing_image(engine: Engine) -> None:
    assert engine.run("test/missing:1", check=False).returncode != 0


def test_a_docker_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    tools.require("docker")
    with pytest.raises(tools.ToolError, match="Cannot connect"):
        attach_docker(f"unix://{tmp_path}/no.sock", tmp_path)


def test_docker_saves_an_image_that_it_loaded(docker: Engine, small: Sample, archive: Archive, tmp_path: Path) -> None:
    docker.load(archive(small, "bin/hello"))
    docker.call("save", "--output", tmp_path / "saved.tar", "test/hello:1")
    with tarfile.open(tmp_path / "saved.tar") as saved:
        assert "manifest.json" in saved.getnames()
    docker.remove("test/hello:1")


def test_containerd_imports_an_image_and_runs_it(containerd: Containerd, small: Sample, archive: Archive) -> None:
    containerd.import_(archive(small, "bin/hello"))
    assert containerd.images() == ("docker.io/test/hello:1",)
    command = (f"{small.root}/bin/hello", "from containerd")
    assert "args: from containerd" in containerd.run("docker.io/test/hello:1", *command).stdout
    containerd.remove("docker.io/test/hello:1")
    assert containerd.images() == ()


def test_skopeo_reads_an_archive(skopeo: Skopeo, small: Sample, archive: Archive) -> None:
    reference = f"docker-archive:{archive(small, 'bin/hello')}"
    assert len(skopeo.inspect(reference)["Layers"]) == 1
    assert skopeo.inspect(reference, "--config")["config"]["Entrypoint"] == [f"{small.root}/bin/hello"]


def test_skopeo_copies_an_archive_to_the_registry(
    skopeo: Skopeo, registry: str, small: Sample, archive: Archive
) -> None:
    remote = f"docker://{registry}/test/hello:1"
    skopeo.copy(f"docker-archive:{archive(small, 'bin/hello')}", remote, "--dest-tls-verify=false")
    assert skopeo.inspect(remote, "--tls-verify=false")["Name"] == f"{registry}/test/hello"


def _walk(root: str) -> list[str]:
    """Return every path below the root."""
    paths: list[str] = []
    for folder, folders, files in os.walk(root):
        paths += [f"{folder}/{name}" for name in (*folders, *files)]
    return paths
