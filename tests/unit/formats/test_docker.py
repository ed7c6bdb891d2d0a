"""The JSON documents of a docker-archive, byte for byte."""

import json
from datetime import UTC, datetime

from lamina.core.names import Digest
from lamina.formats.docker import (
    HistoryItem,
    ImageConfig,
    ManifestEntry,
    dump_docker_manifest,
    dump_image_config,
    store_paths_comment,
)

CREATED = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
ONE, TWO = Digest(b"\x01" * 32), Digest(b"\xab" * 32)


def test_the_image_config_is_that_of_the_streamer() -> None:
    """Keys are in the order created, architecture, os, config, rootfs{diff_ids,type}, history; the indent is 4."""
    config = ImageConfig("amd64", CREATED, {"Cmd": ["/bin/hello"], "Env": ["A=é"]})
    layers = [
        HistoryItem(ONE, store_paths_comment(["/nix/store/a", "/nix/store/b"])),
        HistoryItem(TWO, "customisation layer"),
    ]
    assert (
        dump_image_config(config, layers)
        == b"""{
    "created": "1970-01-01T00:00:01+00:00",
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "Cmd": [
            "/bin/hello"
        ],
        "Env": [
            "A=\\u00e9"
        ]
    },
    "rootfs": {
        "diff_ids": [
            "sha256:0101010101010101010101010101010101010101010101010101010101010101",
            "sha256:abababababababababababababababababababababababababababababababab"
        ],
        "type": "layers"
    },
    "history": [
        {
            "created": "1970-01-01T00:00:01+00:00",
            "comment": "store paths: ['/nix/store/a', '/nix/store/b']"
        },
        {
            "created": "1970-01-01T00:00:01+00:00",
            "comment": "customisation layer"
        }
    ]
}"""
    )


def test_the_container_config_is_unchanged() -> None:
    container = {"Labels": {"z": "1", "a": "\U0001f600"}, "Volumes": {"/data": {}}, "User": None}
    document = json.loads(dump_image_config(ImageConfig("arm64", CREATED, container), []))
    assert document["config"] == container
    assert list(document["config"]) == ["Labels", "Volumes", "User"]
    assert document["rootfs"] == {"diff_ids": [], "type": "layers"}
    assert document["history"] == []


def test_the_manifest_is_that_of_the_streamer() -> None:
    made = dump_docker_manifest(
        [ManifestEntry("ab.json", ("registry.example/hello:1.0",), ("1/layer.tar", "2/layer.tar"))]
    )
    assert (
        made
        == b"""[
    {
        "Config": "ab.json",
        "RepoTags": [
            "registry.example/hello:1.0"
        ],
        "Layers": [
            "1/layer.tar",
            "2/layer.tar"
        ]
    }
]"""
    )


def test_a_manifest_lists_several_images_with_all_their_names() -> None:
    """``docker save`` writes null for an image without a name."""
    made = dump_docker_manifest([ManifestEntry("a.json", ("x:1", "x:2"), ()), ManifestEntry("b.json", (), ("1.tar",))])
    assert json.loads(made) == [
        {"Config": "a.json", "RepoTags": ["x:1", "x:2"], "Layers": []},
        {"Config": "b.json", "RepoTags": None, "Layers": ["1.tar"]},
    ]


def test_a_comment_lists_paths_as_python_does() -> None:
    assert store_paths_comment([]) == "store paths: []"
    assert store_paths_comment(("/nix/store/a",)) == "store paths: ['/nix/store/a']"
