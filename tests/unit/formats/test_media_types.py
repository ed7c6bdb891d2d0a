"""Layers get the media types of OCI or of docker; each has a name in the other set if it can have one."""

import pytest

from lamina.core.names import Digest
from lamina.errors import InvalidArgument
from lamina.formats.media_types import DOCKER, OCI, parse_media_types
from lamina.formats.oci import Descriptor

ANNOTATIONS = (("a", "b"),)


def layer(media_type: str) -> Descriptor:
    return Descriptor(media_type, Digest(bytes(32)), 1, ANNOTATIONS)


@pytest.mark.parametrize(
    ("docker", "oci"),
    [
        ("diff.tar.gzip", "layer.v1.tar+gzip"),
        ("diff.tar", "layer.v1.tar"),
        ("foreign.diff.tar.gzip", "layer.nondistributable.v1.tar+gzip"),
        ("foreign.diff.tar", "layer.nondistributable.v1.tar"),
    ],
)
def test_the_media_type_of_a_layer_has_a_name_in_both_sets(docker: str, oci: str) -> None:
    for_docker = f"application/vnd.docker.image.rootfs.{docker}"
    for_oci = f"application/vnd.oci.image.{oci}"
    for media_type in (for_docker, for_oci):
        assert OCI.describe(layer(media_type)) == layer(for_oci)
        described = DOCKER.describe(layer(media_type))
        assert (described.media_type, described.annotations) == (for_docker, ())


def test_docker_has_no_media_type_for_zstd() -> None:
    assert OCI.describe(layer("application/vnd.docker.image.rootfs.diff.tar.zstd")) == layer(OCI.layer_type("zstd"))
    with pytest.raises(
        InvalidArgument, match=r"^layer sha256:0+: got zstd and docker's media types, expected layers of"
    ):
        DOCKER.describe(layer(OCI.layer_type("zstd")))


def test_another_media_type_stays() -> None:
    assert DOCKER.describe(layer("text/plain")) == OCI.describe(layer("text/plain")) == layer("text/plain")


def test_an_unknown_set_is_refused() -> None:
    assert parse_media_types("x", "docker") is DOCKER
    with pytest.raises(InvalidArgument, match=r"^x: got 'podman', expected oci or docker$"):
        parse_media_types("x", "podman")
