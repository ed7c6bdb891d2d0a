"""A server on a loopback address has one image, for the one client that knows the password."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.fake_nix_store import example
from tests.support.image_files import sha256
from tests.support.served_images import StoreCatalog, layers_of, open_files

from lamina.compression.compressors import NO_LAYER_COMPRESSION
from lamina.server.loopback import REPOSITORY, TAG, USER, LoopbackAddress, Traffic, serve_on_loopback

IMAGE = f"/v2/{REPOSITORY}"


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def address(tmp_path: Path, traffic: Traffic) -> Iterator[LoopbackAddress]:
    store, _ = example(tmp_path / "root")
    with open_files() as files:
        catalog = StoreCatalog(store.root, {("hello", "1"): ["hello"]}, files, compression=NO_LAYER_COMPRESSION)
        with serve_on_loopback(catalog.make("hello", "1"), traffic.count) as address:
            yield address


def get(address: LoopbackAddress, path: str, password: str) -> tuple[int, bytes]:
    login = base64.b64encode(f"{USER}:{password}".encode()).decode()
    with closing(http.client.HTTPConnection(address.host, timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Basic {login}"})
        response = connection.getresponse()
        return response.status, response.read()


def test_the_whole_image_is_there_for_the_password(address: LoopbackAddress, traffic: Traffic) -> None:
    status, document = get(address, f"{IMAGE}/manifests/{TAG}", address.password)
    assert status == 200
    assert get(address, f"{IMAGE}/manifests/{sha256(document)}", address.password) == (200, document)
    for digest in layers_of(json.loads(document)):
        status, blob = get(address, f"{IMAGE}/blobs/{digest}", address.password)
        assert (status, sha256(blob)) == (200, digest)
    assert json.loads(get(address, f"{IMAGE}/tags/list", address.password)[1])["tags"] == [TAG]
    assert traffic.requests >= 3


@pytest.mark.parametrize("path", ["/v2/", f"{IMAGE}/manifests/{TAG}", f"{IMAGE}/tags/list"])
def test_nothing_is_there_without_it(address: LoopbackAddress, path: str) -> None:
    status, body = get(address, path, "wrong")
    assert status == 401
    assert b"sha256" not in body


@pytest.mark.parametrize("path", ["/v2/other/manifests/latest", f"{IMAGE}/manifests/other", "/v2/other/tags/list"])
def test_there_is_no_other_image(address: LoopbackAddress, path: str) -> None:
    assert get(address, path, address.password)[0] == 404


def test_the_traffic_counts_the_bytes_of_all_answers(address: LoopbackAddress, traffic: Traffic) -> None:
    _, document = get(address, f"{IMAGE}/manifests/{TAG}", address.password)
    get(address, f"{IMAGE}/manifests/{TAG}", address.password)
    # An answer is counted after the client has got it; this one comes after both have been.
    get(address, "/v2/", address.password)
    assert traffic.size >= 2 * len(document)
    assert traffic.requests >= 2


def test_each_server_has_a_password_of_its_own(tmp_path: Path) -> None:
    store, _ = example(tmp_path / "root")
    with open_files() as files:
        image = StoreCatalog(store.root, {("hello", "1"): ["hello"]}, files).make("hello", "1")
        with serve_on_loopback(image, print) as one, serve_on_loopback(image, print) as other:
            assert one.host != other.host
            assert one.password != other.password
            assert one.password not in repr(one)
