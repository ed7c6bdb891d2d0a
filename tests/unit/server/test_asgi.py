"""The application answers over real connections: whole images, clients that leave, errors, health and numbers."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.fake_nix_store import example
from tests.support.processes import wait_until
from tests.support.running_registry import RunningRegistry, run_registry
from tests.support.served_images import StoreCatalog, layers_of, open_files

from lamina.core.names import Digest
from lamina.errors import Unavailable
from lamina.formats.referrers import Referrer
from lamina.server import asgi
from lamina.server.guards import AccountGuard
from lamina.server.http_messages import Content
from lamina.server.images_on_demand import ImagesOnDemand
from lamina.server.repositories import Manifest
from lamina.server.served_image import ServedImage

CONTENTS = {("hello", "latest"): ["hello"], ("large", "latest"): ["large"]}
SIZE = 32 << 20
UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImagesOnDemand]:
    store, _ = example(tmp_path / "root")
    store.add("large-1", {"data": bytes(range(256)) * (SIZE // 256)})
    with open_files() as files:
        catalog = StoreCatalog(store.root, CONTENTS, files)
        yield ImagesOnDemand(catalog, 2)


@pytest.fixture
def registry(images: ImagesOnDemand) -> Iterator[RunningRegistry]:
    with run_registry(images) as running:
        yield running


class BrokenRepositories:
    """Repositories that fail in every way: before an answer, within a blob, and by a mistake in the program."""

    def is_ready(self, repository: str, target: str | Digest) -> bool:
        return False

    def find_manifest(self, repository: str, target: str | Digest) -> Manifest | None:
        if repository == "bug":
            raise ZeroDivisionError("secret of the program")
        raise Unavailable("the store", "no answer", "one", hint="ask again")

    def find_blob(self, repository: str, digest: Digest) -> Content | None:
        return BrokenContent()

    def list_tags(self, repository: str) -> Sequence[str] | None:
        return ["latest"]

    def list_referrers(self, repository: str, digest: Digest) -> Sequence[Referrer]:
        return ()


class BrokenContent:
    """A blob whose store goes away after the first piece."""

    size = 1000

    def read(self, start: int, end: int) -> Iterator[bytes]:
        yield b"x" * 10
        raise Unavailable("the store", "no answer", "the rest of the blob")


def test_a_whole_image_arrives_over_one_connection(registry: RunningRegistry, images: ImagesOnDemand) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", registry.port, timeout=60)) as connection:

        def get(path: str) -> bytes:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            return response.read()

        manifest = json.loads(get("/v2/large/manifests/latest"))
        for layer in (*manifest["layers"], manifest["config"]):
            content = images.find_blob("large", Digest.parse_oci(layer["digest"]))
            assert content
            assert get(f"/v2/large/blobs/{layer['digest']}") == b"".join(map(bytes, content.read(0, content.size)))


def test_the_answers_are_those_of_respond(registry: RunningRegistry) -> None:
    digest = layers_of(registry.get_json("/v2/hello/manifests/latest"))[0]
    part = registry.get(f"/v2/hello/blobs/{digest}", range="bytes=2-5")
    assert (part.status, len(part.body)) == (206, 4)
    head = registry.get(f"/v2/hello/blobs/{digest}", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert registry.get("/v2/hello/tags/list?n=0").body == b'{"name": "hello", "tags": []}'
    assert registry.get("/v2/hello/%2e%2e/x/manifests/latest").status == 404
    assert registry.get(f"/v2/hello/manifests/{UNKNOWN}", if_none_match="*").status == 404
    assert registry.get("/v2/hello/manifests/latest", "PUT").status == 405


def test_many_clients_pull_one_cold_image_and_it_is_made_once(
    registry: RunningRegistry, images: ImagesOnDemand
) -> None:
    def pull(_: int) -> tuple[bytes, ...]:
        manifest = registry.get("/v2/hello/manifests/latest").body
        return manifest, *(registry.get(f"/v2/hello/blobs/{layer}").body for layer in layers_of(json.loads(manifest)))

    with ThreadPoolExecutor(32) as pool:
        pulled = set(pool.map(pull, range(64)))
    assert len(pulled) == 1
    assert isinstance(images._catalog, StoreCatalog)
    assert images._catalog.made == ["hello:latest"]


def test_a_client_that_leaves_ends_its_answer(registry: RunningRegistry) -> None:
    manifest = registry.get_json("/v2/large/manifests/latest")
    largest = max(manifest["layers"], key=lambda layer: int(layer["size"]))
    registry.answered.get(timeout=60)
    with closing(socket.create_connection(("127.0.0.1", registry.port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET /v2/large/blobs/{largest['digest']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    answered = registry.answered.get(timeout=60)
    assert not answered.is_complete or answered.size == largest["size"]
    assert registry.get("/v2/").status == 200


def test_a_failure_reaches_the_client_and_the_log() -> None:
    with run_registry(BrokenRepositories()) as registry:
        answer = registry.get("/v2/x/manifests/latest")
        (error,) = json.loads(answer.body)["errors"]
        assert (answer.status, error["code"]) == (500, "UNKNOWN")
        assert error["message"] == "the store: got no answer, expected one"
        assert b"ask again" not in answer.body  # the hint is for those who run the server
        assert "no answer" in registry.answered.get(timeout=60).problem


def test_a_mistake_in_the_program_is_logged_and_not_shown() -> None:
    with run_registry(BrokenRepositories()) as registry:
        answer = registry.get("/v2/bug/manifests/latest")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert "ZeroDivisionError" in registry.answered.get(timeout=60).problem


def test_a_blob_that_breaks_off_is_never_complete() -> None:
    with run_registry(BrokenRepositories()) as registry:
        with pytest.raises(http.client.IncompleteRead):
            registry.get(f"/v2/x/blobs/{UNKNOWN}")
        answered = registry.answered.get(timeout=60)
        assert (answered.size, answered.is_complete) == (10, False)
        assert "the rest of the blob" in answered.problem
        assert registry.get("/healthz").status == 200


def test_requests_that_would_wait_too_long_are_refused(images: ImagesOnDemand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "MAX_WAITING", 0)
    with run_registry(images) as registry:
        answer = registry.get("/v2/hello/manifests/latest")
        assert (answer.status, answer.headers["retry-after"]) == (429, "5")
        assert json.loads(answer.body)["errors"][0]["code"] == "TOOMANYREQUESTS"
        assert registry.get("/healthz").status == 200


@pytest.mark.parametrize("asked", ["manifests/latest", f"blobs/{UNKNOWN}"])
def test_images_that_are_being_made_hold_up_nothing_that_is_ready(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "_IMAGE_THREADS", 2)
    monkeypatch.setattr(asgi, "MAX_WAITING", 8)
    gate, store = threading.Event(), example(tmp_path / "root")[0]

    class SlowCatalog(StoreCatalog):
        def make(self, repository: str, tag: str) -> ServedImage:
            assert repository == "hello" or gate.wait(60)
            return super().make(repository, tag)

    slow = [f"slow{number}" for number in range(8)]
    contents = {(name, "latest"): ["hello"] for name in ("hello", *slow)}
    with open_files() as files, ThreadPoolExecutor(8) as pool:
        catalog = SlowCatalog(store.root, contents, files)
        with run_registry(ImagesOnDemand(catalog, 1)) as registry:
            digest = layers_of(registry.get_json("/v2/hello/manifests/latest"))[0]
            waiting = [pool.submit(registry.get, f"/v2/{name}/{asked}") for name in slow]
            wait_until(lambda: registry.application._waiting == len(slow))
            for path in ("", "hello/manifests/latest", f"hello/blobs/{digest}", "hello/tags/list"):
                assert registry.get(f"/v2/{path}").status == 200
            assert registry.get("/v2/large/manifests/latest").status == 429
            assert not any(request.done() for request in waiting)
            gate.set()
            assert {request.result().status for request in waiting} == {200 if "manifests" in asked else 404}


def test_health_and_readiness(registry: RunningRegistry) -> None:
    assert (registry.get("/healthz").status, registry.get("/readyz").status) == (200, 200)
    registry.application.is_stopping = True
    assert (registry.get("/healthz").status, registry.get("/readyz").status) == (200, 503)


def test_the_numbers_of_prometheus(registry: RunningRegistry) -> None:
    size = len(registry.get("/v2/hello/manifests/latest").body)
    registry.get("/v2/none/manifests/latest")
    for _ in range(2):
        registry.answered.get(timeout=60)
    text = registry.get("/metrics").body.decode()
    assert 'lamina_requests_total{kind="manifest",status="200"} 1.0' in text
    assert 'lamina_requests_total{kind="manifest",status="404"} 1.0' in text
    sent = next(line for line in text.splitlines() if line.startswith("lamina_sent_bytes_total"))
    assert float(sent.split()[1]) > size


def test_the_log_says_who_asked_for_what(images: ImagesOnDemand) -> None:
    with run_registry(images, AccountGuard("me", "secret")) as registry:
        refused = registry.get("/v2/hello/manifests/latest")
        assert (refused.status, registry.get("/metrics").status) == (401, 401)
        assert refused.headers["www-authenticate"].startswith('Basic realm="lamina"')
        assert registry.get("/healthz").status == 200
        answer = registry.get("/v2/hello/tags/list?n=1", authorization="Basic bWU6c2VjcmV0")
        first, _, last = (registry.answered.get(timeout=60) for _ in range(3))
    assert (first.status, first.user) == (401, "")
    assert (last.status, last.user, last.method) == (200, "me", "GET")
    assert (last.path, last.client, last.size) == ("/v2/hello/tags/list?n=1", "127.0.0.1", len(answer.body))
