"""An image index lists the images of several platforms, each once, in a given order."""

import json

import pytest
from tests.support.oci_schemas import check_oci_document

from lamina.core.names import Digest
from lamina.errors import InvalidArgument
from lamina.formats.media_types import DOCKER, OCI, MediaTypes
from lamina.formats.oci import Descriptor
from lamina.formats.oci_index import PlatformManifest, dump_index
from lamina.formats.platform import NO_PLATFORM, Platform

ANNOTATIONS = (("org.example.team", "docs"),)


def listed(number: int, platform: str, types: MediaTypes = OCI) -> PlatformManifest:
    descriptor = Descriptor(types.manifest, Digest(bytes([number]) * 32), 7 + number)
    return PlatformManifest(descriptor, Platform.parse(platform) if platform else NO_PLATFORM)


def test_each_image_has_its_platform_and_the_order_stays() -> None:
    document = json.loads(dump_index([listed(1, "arm/v7"), listed(2, "amd64"), listed(3, "arm64/v8")]))
    check_oci_document(OCI.index, document)
    assert [item["platform"] for item in document["manifests"]] == [
        {"architecture": "arm", "os": "linux", "variant": "v7"},
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    assert [item["size"] for item in document["manifests"]] == [8, 9, 10]


def test_an_index_has_annotations_and_equal_images_give_equal_bytes() -> None:
    images = [listed(1, "amd64"), listed(2, "arm64")]
    dumped = dump_index(images, ANNOTATIONS)
    check_oci_document(OCI.index, json.loads(dumped))
    assert json.loads(dumped)["annotations"] == dict(ANNOTATIONS)
    assert dumped == dump_index(list(images), ANNOTATIONS) != dump_index(images[::-1], ANNOTATIONS)


def test_docker_has_a_manifest_list_without_annotations() -> None:
    images = [listed(1, "amd64", DOCKER), listed(2, "arm64", DOCKER)]
    described = Descriptor(DOCKER.manifest, images[0].descriptor.digest, 8, ANNOTATIONS)
    document = json.loads(dump_index([PlatformManifest(described, images[0].platform), images[1]], ANNOTATIONS, DOCKER))
    check_oci_document(DOCKER.index, document)
    assert document["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"


def test_an_image_of_an_unknown_platform_states_none_and_may_be_one_of_several() -> None:
    document = json.loads(dump_index([listed(1, ""), listed(2, ""), listed(3, "amd64")]))
    check_oci_document(OCI.index, document)
    assert ["platform" in item for item in document["manifests"]] == [False, False, True]


def test_an_index_of_no_image_and_two_images_for_one_platform_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^image index: got no image, expected at least one$"):
        dump_index([])
    with pytest.raises(InvalidArgument, match=r"^image index: got two images for linux/arm64, expected one for each"):
        dump_index([listed(1, "arm64"), listed(2, "amd64"), listed(3, "arm64/v8")])
