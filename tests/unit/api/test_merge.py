"""The arguments of a merge, and what the command prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import run
from tests.support.image_files import docker_archive, layer, platform, sha256

import lamina
from lamina.errors import InvalidArgument


def write_archive(folder: Path, architecture: str, tag: str = "app:1", file: str = "") -> Path:
    """Write a docker-archive of an image with a layer that all have and one of its own."""
    layers = {"a.tar": layer("etc/shared"), "b.tar": layer(f"etc/{architecture}")}
    config = {
        **platform(architecture),
        "rootfs": {"type": "layers", "diff_ids": [sha256(content) for content in layers.values()]},
    }
    path = folder / (file or f"{architecture}.tar")
    path.write_bytes(docker_archive(layers, config=config, entry={"RepoTags": [tag] if tag else []}))
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "hybrid", "output": "x.tar"}, "format: got 'hybrid', expected docker or oci"),
        ({"format": "docker", "output": "x/"}, "format: got 'docker', expected oci for an OCI layout"),
        ({"compressor": "gz", "output": "x/"}, "compressor: got gz, expected none for an OCI layout"),
        (
            {"name": "app:1", "output": "x.tar"},
            "name: got 'app:1' and a docker-archive, expected an OCI",
        ),
        ({"layer_compression": "gzip", "output": "x.tar"}, "layer_compression: got 'gzip' and a docker-archive"),
        ({"name": "app", "output": "x/"}, "expected"),
    ],
)
def test_wrong_arguments_are_refused_before_an_image_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=message):
        lamina.merge_images([tmp_path / "missing.tar"], **arguments)


def test_the_platforms_of_a_docker_archive_have_a_hint(tmp_path: Path) -> None:
    files = [write_archive(tmp_path, name) for name in ("amd64", "arm64")]
    with pytest.raises(InvalidArgument, match="app:1: got two images") as raised:
        lamina.merge_images(files, output=tmp_path / "x.tar")
    assert "--format oci" in raised.value.hint


# The command


def test_the_command_prints_what_each_name_names(tmp_path: Path) -> None:
    files = [write_archive(tmp_path, name) for name in ("amd64", "arm64")]
    ran = run("merge", *files, "-t", "web:2", "-o", f"{tmp_path}/images/")
    assert (ran.code, ran.stdout.decode()) == (0, f"{tmp_path}/images/\n")
    assert "linux/amd64, linux/arm64" in ran.stderr
    document = json.loads(run("merge", *files, "--format", "oci", "-o", tmp_path / "x.tar", "--json").stdout)
    (index,) = document["indexes"]
    assert (index["repo_tags"], index["platforms"]) == (["app:1"], ["linux/amd64", "linux/arm64"])
    assert [len(image["layers"]) for image in document["images"]] == [2, 2]
