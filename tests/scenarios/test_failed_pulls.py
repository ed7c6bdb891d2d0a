"""A pull from a registry that fails ends right or with an error of the right family, and leaves no part of a file.

No credential appears in any output, with ``--debug`` too.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.credentials import encode_auth
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import CompletedRun, in_mount_namespace, run
from tests.support.fault_proxy import ProxyFault, fail_every, serve_faults
from tests.support.image_files import LayoutBuilder, tar
from tests.support.registry import (
    QUICK,
    Account,
    Fault,
    MemoryRegistry,
    RegistryHandler,
    add_image,
    answer_with,
    cut_connection,
    digest_of,
    serve_registry,
)

import lamina
from lamina.formats.oci import MANIFEST_TYPE
from lamina.transports.retry import use_policy

ALWAYS = 1_000_000
LAYERS = [tar({f"file{number}": random.Random(number).randbytes(50_000)}) for number in range(4)]
BLOB, MANIFEST, TAG = "/blobs/sha256:", "/manifests/", "/manifests/1$"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """A registry that wants a login, which docker's settings have, with me/app:1."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    layout = LayoutBuilder()
    image = layout.image(LAYERS)
    with serve_registry() as server:
        add_image(server, layout, image)
        server.authentication = "basic"
        log_in(tmp_path, server.host, Account().password)
        yield server


def log_in(folder: Path, host: str, password: str) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {host: encode_auth(Account().user, password)}}))


def pull(folder: Path, host: str, name: str = "me/app:1", file: str = "image.tar") -> CompletedRun:
    """Pull into an empty folder, and check that it has the whole image afterwards, or no file at all."""
    output = folder / "out"
    output.mkdir(exist_ok=True)
    with use_policy(QUICK):
        ran = run("pull", f"{host}/{name}", "-o", output / file, "--debug", "--blob-cache", folder / "blobs")
    assert "hunter2" not in ran.stderr
    assert encode_auth(Account().user, Account().password)["auth"] not in ran.stderr
    if ran.code:
        assert not ran.stdout
        assert not find_parts(output)
    else:
        (image,) = lamina.inspect(output / file)
        assert len(image.layers) == len(LAYERS)
    return ran


def find_parts(folder: Path) -> list[Path]:
    """Return the files that a failed pull may not leave. A layout may keep whole blobs, which no index names."""
    return [
        file
        for file in folder.rglob("*")
        if file.is_file() and file.name not in ("oci-layout", "lock", digest_of(file.read_bytes()).hex)
    ]


def cut_in_blob(handler: RegistryHandler) -> bool:
    """Send half of a blob."""
    data = handler.server.blobs["me/app"][handler.path.rpartition("/")[2]]
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    return handler.cut()


FAILURES: dict[str, tuple[str, str, Fault, int, str]] = {
    "no such image": ("GET", TAG, answer_with(404), 7, "no such image"),
    "an image that may not be read": ("GET", TAG, answer_with(403), 8, "HTTP 403"),
    "a blob that is gone": ("GET", BLOB, answer_with(404), 7, ""),
    "a blob that may not be read": ("GET", BLOB, answer_with(403), 8, "HTTP 403"),
    "too many requests": ("GET", BLOB, answer_with(429, {"Retry-After": "1"}), 7, "HTTP 429 5 times in a row"),
    "an internal error": ("GET", BLOB, answer_with(500), 7, "HTTP 500 5 times in a row"),
    "an unavailable server": ("GET", MANIFEST, answer_with(503), 7, "HTTP 503 5 times in a row"),
    "a cut before an answer": ("GET", BLOB, cut_connection, 7, "5 times in a row"),
    "a cut in the middle of a blob": ("GET", BLOB, cut_in_blob, 7, "5 times in a row"),
    "a blob with other bytes": ("GET", BLOB, answer_with(200, {}, b"other"), 6, ""),
    "a blob without an end": ("GET", BLOB, answer_with(200, {}, bytes(1 << 20)), 6, ""),
    "a manifest with another digest": (
        "GET",
        TAG,
        answer_with(200, {"Docker-Content-Digest": f"sha256:{'1' * 64}", "Content-Type": MANIFEST_TYPE}, b"{}"),
        6,
        "111",
    ),
    "a manifest of 20 megabytes": ("GET", TAG, answer_with(200, {}, b" " * 20_000_000), 7, "at most 4194304"),
    "a manifest that is no document": ("GET", TAG, answer_with(200, {"Content-Type": MANIFEST_TYPE}, b"<html>"), 3, ""),
    "redirects without an end": ("GET", BLOB, answer_with(307, {"Location": "?x"}), 7, "10 redirects"),
    "a redirect to no server": ("GET", BLOB, answer_with(307, {"Location": "ftp://x/"}), 7, ""),
}


@pytest.mark.parametrize("file", mark_rest(["image.tar", "layout/"], 1))
@pytest.mark.parametrize("name", FAILURES)
def test_a_registry_that_keeps_failing_is_an_error(
    name: str, file: str, registry: MemoryRegistry, tmp_path: Path
) -> None:
    method, path, fault, code, message = FAILURES[name]
    registry.fail(method, path, fault, ALWAYS)
    ran = pull(tmp_path, registry.host, file=file)
    assert ran.code == code, ran.stderr
    assert message in ran.error


def test_a_wrong_password_is_refused_with_its_file_in_the_hint(registry: MemoryRegistry, tmp_path: Path) -> None:
    log_in(tmp_path, registry.host, "wrong-hunter2")
    ran = pull(tmp_path, registry.host)
    assert ran.code == 8
    assert f"the credentials came from {tmp_path}/config.json" in ran.stderr


def test_a_blob_on_another_host_is_asked_for_without_credentials(registry: MemoryRegistry, tmp_path: Path) -> None:
    with serve_registry() as other:
        other.blobs = registry.blobs

        def redirect(handler: RegistryHandler) -> bool:
            return handler.answer(307, {"Location": f"{other.url}{handler.path}"})

        registry.fail("GET", BLOB, redirect, ALWAYS)
        assert pull(tmp_path, registry.host).code == 0
        assert {request.authorization for request in other.seen} == {""}
        assert len(other.seen) == len(LAYERS) + 1


@pytest.mark.parametrize("interval", mark_rest((3, 2, 5, 8), 1))
def test_pulls_through_a_proxy_with_faults_end_right_or_with_an_error(
    interval: int, registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.authentication = ""
    codes: Counter[int] = Counter()
    with serve_faults(registry.host) as proxy:
        for seed in range(20):
            proxy.choose_fault = fail_every(interval, seed)
            folder = tmp_path / str(seed)
            folder.mkdir()
            ran = pull(folder, proxy.address, file=("image.tar", "layout/")[seed % 2])
            assert ran.code in (0, 7, 8), ran.stderr
            codes[ran.code] += 1
    assert codes[0]
    assert codes[8] <= sum(exchange.fault is ProxyFault.UNAUTHORIZED for exchange in proxy.exchanges)


@pytest.mark.parametrize("file", ["image.tar", "layout/"])
def test_a_full_disk_is_an_error(file: str, registry: MemoryRegistry, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=100k none {disk}; code=0; "$@" || code=$?; cp -r {disk} {disk}.after; exit $code'
    command = [sys.executable, "-m", "lamina", "pull", f"{registry.host}/me/app:1", "-o", f"{disk}/{file}"]
    done = in_mount_namespace(script, command)
    assert done.returncode == 10, done.stderr.decode()
    assert not find_parts(tmp_path / "disk.after")
    assert f"lamina: {disk}/" in done.stderr.decode()
