"""Images in a registry: only manifests and configs are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.image_files import LayoutBuilder, layer, platform
from tests.support.registry import MemoryRegistry, add_image, answer_with, connect

from lamina.errors import Error, FormatError, IntegrityError, PlanError, RegistryError
from lamina.formats.platform import Platform
from lamina.images.readers.registry_image import RegistryImage, read_registry_images

HELLO, GLIBC = ("/nix/store/" + digit * 32 + name for digit, name in (("1", "-hello-2.12"), ("2", "-glibc-2.40")))
DOCKER = "application/vnd.docker."


def read(registry: MemoryRegistry, name: str = "me/app:1", wanted: str = "") -> tuple[RegistryImage, ...]:
    with connect(registry, name, is_writer=False) as connection:
        return read_registry_images(connection, registry.reference(name), Platform.parse(wanted) if wanted else None)


def list_reads(registry: MemoryRegistry) -> list[str]:
    """Return the last parts of the paths that were asked for."""
    return [request.path.rpartition("/")[2] for request in registry.seen if request.path != "/v2/"]


def add_index(registry: MemoryRegistry, *platforms: str) -> LayoutBuilder:
    layout = LayoutBuilder()
    images = [layout.image([layer(name)], config_more=platform(name), platform=platform(name)) for name in platforms]
    add_image(registry, layout, layout.nested(images))
    return layout


def test_the_manifest_and_the_config_say_what_is_in_an_image(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    history = [{"comment": f"store paths: ['{GLIBC}', '{HELLO}']"}, {"empty_layer": True}, {"comment": "x"}]
    image = layout.image([layer("a"), layer("b")], config_more={"history": history})
    digest = add_image(registry, layout, image)
    (found,) = read(registry)
    assert (found.repo_tags, found.platform) == ((f"{registry.host}/me/app:1",), "linux/amd64")
    assert found.manifest.descriptor.digest == digest
    assert [tuple(map(str, one.paths)) for one in found.layers] == [(GLIBC, HELLO), ()]
    assert [one.size for one in found.layers] == [len(layer("a")), len(layer("b"))]
    assert list_reads(registry) == ["1", str(found.digest)]


def test_an_index_has_an_image_for_each_platform(registry: MemoryRegistry) -> None:
    add_index(registry, "amd64", "arm64")
    assert [one.platform for one in read(registry)] == ["linux/amd64", "linux/arm64"]


def test_only_the_image_for_the_wanted_platform_is_read(registry: MemoryRegistry) -> None:
    add_index(registry, "amd64", "arm64", "riscv64")
    (found,) = read(registry, wanted="arm64")
    assert found.platform == "linux/arm64"
    assert list_reads(registry) == ["1", str(found.manifest.descriptor.digest), str(found.digest)]


@pytest.mark.parametrize("wanted", ["", "arm64"])
def test_an_image_that_an_index_lists_and_the_registry_lacks_is_named(registry: MemoryRegistry, wanted: str) -> None:
    add_index(registry, "amd64", "arm64")
    (arm,) = read(registry, wanted="arm64")
    del registry.manifests["me/app"][str(arm.manifest.descriptor.digest)]
    with pytest.raises(RegistryError, match="me/app:1: got an index that lists linux/arm64, but no manifest sha256:"):
        read(registry, wanted=wanted)
    assert [one.platform for one in read(registry, wanted="amd64")] == ["linux/amd64"]


def test_the_platforms_are_listed_if_none_fits(registry: MemoryRegistry) -> None:
    add_index(registry, "amd64", "arm64")
    with pytest.raises(PlanError, match="got images for linux/amd64, linux/arm64, expected one for linux/s390x"):
        read(registry, wanted="s390x")


def test_a_digest_names_an_image_without_a_tag(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    digest = add_image(registry, layout, layout.image([layer("a")]))
    (found,) = read(registry, f"me/app@{digest}")
    assert found.repo_tags == ()


def test_the_media_types_of_docker_are_read(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    config = layout.blob(
        json.dumps({"rootfs": {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"]}}).encode(),
        f"{DOCKER}container.image.v1+json",
    )
    foreign = {"mediaType": f"{DOCKER}image.rootfs.foreign.diff.tar.gzip", "digest": f"sha256:{'1' * 64}", "size": 5}
    manifest = {"schemaVersion": 2, "config": config, "layers": [foreign]}
    described = layout.blob(json.dumps(manifest).encode(), f"{DOCKER}distribution.manifest.v2+json")
    add_image(registry, layout, described)
    (found,) = read(registry)
    assert found.layers[0].descriptor.media_type == foreign["mediaType"]


def test_an_image_that_is_not_there_is_an_error_of_the_registry(registry: MemoryRegistry) -> None:
    with pytest.raises(RegistryError, match=r"me/app:1: got no such image") as raised:
        read(registry)
    assert raised.value.exit_code == 7
    assert "check the name and the tag" in raised.value.hint


@pytest.mark.parametrize(
    ("manifest", "error", "message"),
    [
        ({"config": {"mediaType": "text/plain"}, "layers": []}, FormatError, "a config of media type"),
        ({"layers": []}, FormatError, "no config"),
        ([], FormatError, "an object with config and layers"),
    ],
)
def test_a_manifest_of_something_else_is_refused(
    registry: MemoryRegistry, manifest: Any, error: type[Error], message: str
) -> None:
    layout = LayoutBuilder()
    add_image(registry, layout, layout.manifest(manifest))
    with pytest.raises(error, match=message):
        read(registry)


def test_a_config_with_other_bytes_is_refused(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    add_image(registry, layout, layout.image([layer("a")]))
    registry.fail("GET", "/blobs/", answer_with(200, {}, b"{}"), times=9)
    with pytest.raises(IntegrityError):
        read(registry)


def test_a_manifest_of_20_megabytes_is_refused(registry: MemoryRegistry) -> None:
    registry.fail("GET", "/manifests/", answer_with(200, {}, bytes(20 << 20)), times=9)
    with pytest.raises(RegistryError, match="20971520 bytes, expected at most 4194304"):
        read(registry)


DIGEST = f"sha256:{'1' * 64}"
OCI = "application/vnd.oci.image."
CONFIG = {"mediaType": f"{OCI}config.v1+json", "digest": DIGEST, "size": 2}
LAYER = {"mediaType": f"{OCI}layer.v1.tar", "digest": DIGEST, "size": 2}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"config": CONFIG, "layers": [{**LAYER, "digest": "sha256:../x"}]}, "layers: digest: got 'sha256:../x', exp"),
        ({"config": CONFIG, "layers": [{**LAYER, "size": {}}]}, "layers: got size {}, expected a number of bytes"),
        (
            {"config": CONFIG, "layers": [{"digest": DIGEST}]},
            "layers: got an object without mediaType, expected an obj",
        ),
        ({"config": CONFIG, "layers": {"x": 1}}, "layers: got an object, expected a list, as in an image"),
        (
            {"config": CONFIG, "layers": [{**LAYER, "digest": f"sha512:{'1' * 128}"}]},
            "a layer with a sha512 digest, whi",
        ),
        (
            {"config": {**CONFIG, "digest": "md5:11"}, "layers": []},
            "a manifest with a config with a md5 digest, which is",
        ),
        ([1, 2], "got a list, expected an object with config and layers"),
    ],
)
def test_an_error_of_a_manifest_names_the_image(registry: MemoryRegistry, document: object, message: str) -> None:
    registry.add_manifest("me/app", "1", json.dumps(document).encode(), f"{OCI}manifest.v1+json")
    with pytest.raises(FormatError) as caught:
        read(registry)
    assert str(caught.value).startswith(f"{registry.host}/me/app:1: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"manifests": [{"mediaType": f"{OCI}manifest.v1+json", "digest": "sha256:12", "size": 1}]},
            "manifests: digest: ",
        ),
        (
            {"manifests": [{**CONFIG, "mediaType": f"{OCI}manifest.v1+json", "digest": "md5:11"}]},
            "with a md5 digest, whi",
        ),
        ({"config": CONFIG, "layers": []}, "got an object without manifests, expected an object with manifests"),
        ({"manifests": 5}, "manifests: got 5, expected a list"),
    ],
)
def test_an_error_of_an_index_names_the_image(registry: MemoryRegistry, document: object, message: str) -> None:
    registry.add_manifest("me/app", "1", json.dumps(document).encode(), f"{OCI}index.v1+json")
    with pytest.raises(FormatError) as caught:
        read(registry)
    assert str(caught.value).startswith(f"{registry.host}/me/app:1: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rootfs", "message"),
    [
        ({"diff_ids": [DIGEST]}, "config: rootfs: got 1 diff IDs, expected 0, one for each layer"),
        (
            {"diff_ids": ["sha256:../x"]},
            "config: diff_ids: digest: got 'sha256:../x', expected sha256: and 64 hex digits",
        ),
        ({"diff_ids": {"x": 1}}, "config: diff_ids: got an object, expected a list"),
        ({"type": "x"}, "config: rootfs: got an object without them, expected an object with diff_ids"),
        (5, "config: rootfs: got 5, expected an object with diff_ids"),
    ],
)
def test_an_error_of_a_config_names_the_image(registry: MemoryRegistry, rootfs: object, message: str) -> None:
    config = registry.add_blob("me/app", json.dumps({"rootfs": rootfs}).encode())
    size = len(registry.blobs["me/app"][str(config)])
    document = {"config": {**CONFIG, "digest": str(config), "size": size}, "layers": []}
    registry.add_manifest("me/app", "1", json.dumps(document).encode(), f"{OCI}manifest.v1+json")
    with pytest.raises(Error) as caught:
        read(registry)
    assert str(caught.value).startswith(f"{registry.host}/me/app:1: {message}")
