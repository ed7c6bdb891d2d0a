"""A push into a registry that fails, or with wrong input, ends with the right exit code.

Nothing is half-published: the tag is what it was. No credential appears in any output, with ``--debug`` too, or in the
command line of a process. No temporary file is left.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.credentials import encode_auth, write_helper
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import CompletedRun, FakeStore, example, in_mount_namespace, process, run
from tests.support.fault_proxy import ProxyFault, fail_every, serve_faults
from tests.support.image_files import LayoutBuilder, tar
from tests.support.processes import find_pids
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
    manifest_document,
    serve_registry,
)

from lamina.formats.oci import MANIFEST_TYPE
from lamina.transports.retry import use_policy

ALWAYS = 1_000_000
PASSWORD = Account().password
SECRETS = ("hunter2", encode_auth(Account().user, PASSWORD)["auth"], "tOkEn")
OLD = manifest_document(b"old config", b"old layer")
UPLOADS, UPLOAD, MANIFEST = "/blobs/uploads/$", r"/blobs/uploads/u[0-9]+\?", "/manifests/1$"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    return example(tmp_path_factory.mktemp("store") / "root")[0]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let docker's settings be those in ``tmp_path``, and check that no temporary file is left."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    assert not list((tmp_path / "tmp").iterdir())


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    """A registry with an image under the tag that is pushed."""
    with serve_registry() as server:
        server.add_manifest("me/app", "1", OLD, MANIFEST_TYPE)
        for data in (b"old config", b"old layer"):
            server.add_blob("me/app", data)
        yield server


def log_in(folder: Path, host: str, password: str) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {host: encode_auth(Account().user, password)}}))


def push(store: FakeStore, registry: MemoryRegistry, *flags: str, roots: tuple[str, ...] = ("hello",)) -> CompletedRun:
    with use_policy(QUICK):
        return run("push", *roots, "--store", store.root, "--to", f"{registry.host}/me/app:1", "--debug", *flags)


def check_failed(ran: CompletedRun, registry: MemoryRegistry, code: int) -> str:
    """Check that a push failed with ``code``, and return its error."""
    assert ran.code == code, ran.stderr
    assert not ran.stdout
    assert registry.manifests["me/app"]["1"] == (MANIFEST_TYPE, OLD)
    assert set(registry.manifests["me/app"]) == {"1", str(digest_of(OLD))}
    assert not [secret for secret in SECRETS if secret in ran.stderr]
    assert re.fullmatch(".+: got .+, expected .+", ran.error)
    return ran.error


# --- registries that fail


def refuse(status: int, code: str) -> Fault:
    def fault(handler: RegistryHandler) -> bool:
        handler.read_body()
        return handler.refuse(status, code, f"no {Account().password}")

    return fault


def cut_in_body(handler: RegistryHandler) -> bool:
    """Close the connection in the middle of the request's body."""
    handler.rfile.read(int(handler.headers["Content-Length"]) // 2)
    return handler.cut()


FAILURES: dict[str, tuple[str, str, Fault, int, str]] = {
    "a repository that does not exist": ("POST", UPLOADS, refuse(404, "NAME_UNKNOWN"), 7, "NAME_UNKNOWN"),
    "a repository that may not be written": ("POST", UPLOADS, refuse(403, "DENIED"), 8, "DENIED"),
    "a manifest that may not be written": ("PUT", MANIFEST, refuse(403, "DENIED"), 8, "DENIED"),
    "a manifest that is refused": ("PUT", MANIFEST, refuse(400, "MANIFEST_INVALID"), 7, "MANIFEST_INVALID"),
    "a tag that cannot be overwritten": ("PUT", MANIFEST, refuse(409, "TAG_IMMUTABLE"), 7, "TAG_IMMUTABLE"),
    "too many requests": ("PUT", UPLOAD, answer_with(429, {"Retry-After": "1"}), 7, "HTTP 429 5 times in a row"),
    "an internal error": ("PUT", UPLOAD, answer_with(500), 7, "HTTP 500 5 times in a row"),
    "a gateway without a server": ("POST", UPLOADS, answer_with(502), 7, "HTTP 502 5 times in a row"),
    "an unavailable server": ("PUT", MANIFEST, answer_with(503), 7, "HTTP 503 5 times in a row"),
    "a late server": ("HEAD", "/blobs/", answer_with(504), 7, "HTTP 504 5 times in a row"),
    "a cut before an answer": ("POST", UPLOADS, cut_connection, 7, "5 times in a row"),
    "a cut in the middle of a blob": ("PUT", UPLOAD, cut_in_body, 7, "5 times in a row"),
    "a session that vanishes again and again": (
        "PUT",
        UPLOAD,
        refuse(404, "BLOB_UPLOAD_UNKNOWN"),
        7,
        "an upload session that vanished 5 times in a row",
    ),
    "a redirect of an upload to itself": ("PUT", UPLOAD, answer_with(307, {"Location": "?x=1"}), 7, "10 redirects"),
    "a redirect to no server": ("POST", UPLOADS, answer_with(307, {"Location": "ftp://x/"}), 7, ""),
    "no location": ("POST", UPLOADS, answer_with(202), 7, "no Location"),
    "a wrong digest of a blob": (
        "PUT",
        UPLOAD,
        answer_with(201, {"Docker-Content-Digest": f"sha256:{'1' * 64}"}),
        6,
        "111",
    ),
    "a wrong digest of the manifest": (
        "PUT",
        MANIFEST,
        answer_with(201, {"Docker-Content-Digest": f"sha256:{'1' * 64}"}),
        6,
        "111",
    ),
    "no API": ("GET", "/v2/$", answer_with(500), 7, "HTTP 500 5 times in a row"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_registry_that_keeps_failing_is_an_error(
    name: str, store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    method, path, fault, code, message = FAILURES[name]
    registry.authentication = "basic"
    log_in(tmp_path, registry.host, PASSWORD)
    registry.fail(method, path, fault, ALWAYS)
    assert message in check_failed(push(store, registry), registry, code)


@pytest.mark.parametrize("name", mark_rest([name for name in FAILURES if "5 times" in FAILURES[name][4]], 2))
def test_a_failure_that_passes_is_none(name: str, store: FakeStore, registry: MemoryRegistry) -> None:
    method, path, fault, _, _ = FAILURES[name]
    registry.fail(method, path, fault, 2)
    ran = push(store, registry)
    assert ran.code == 0, ran.stderr
    assert ran.stdout.decode() == f"{registry.host}/me/app:1@{digest_of(registry.manifests['me/app']['1'][1])}\n"


def test_a_manifest_of_20_megabytes_is_not_read(store: FakeStore, registry: MemoryRegistry) -> None:
    registry.add_manifest("me/other", "1", b" " * 20_000_000, MANIFEST_TYPE)
    too_long = "got 20000000 bytes, expected at most 4194304"
    ran = push(store, registry, "--cache-from", f"{registry.host}/me/other:1")
    assert (ran.code, too_long in ran.stderr) == (0, True)
    ran = run("inspect", f"{registry.host}/me/other:1")
    assert (ran.code, ran.stdout, too_long in ran.error) == (7, b"", True)


@pytest.mark.parametrize("options", [(), ("--no-cache-from",)])
@pytest.mark.parametrize("fault", [answer_with(200, {}, b" " * (5 << 20)), refuse(403, "DENIED")])
def test_a_tag_whose_manifest_cannot_be_read_is_pushed_over(
    fault: Fault, options: tuple[str, ...], store: FakeStore, registry: MemoryRegistry
) -> None:
    registry.fail("GET", "/manifests/1$", fault, ALWAYS)
    ran = push(store, registry, *options)
    assert ran.code == 0, ran.stderr
    assert "1" in registry.manifests["me/app"]


def test_an_upload_on_another_host_gets_no_credentials(
    store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.authentication = "basic"
    log_in(tmp_path, registry.host, PASSWORD)
    with serve_registry() as other:
        registry.fail("POST", UPLOADS, answer_with(307, {"Location": f"{other.url}/v2/me/app/blobs/uploads/"}), ALWAYS)
        error = check_failed(push(store, registry), registry, 7)
        assert "MANIFEST_BLOB_UNKNOWN" in error
        assert other.blobs["me/app"]
        assert {request.authorization for request in other.seen} == {""}


# --- sources that fail

BASE = tuple(tar({f"file{number}": random.Random(number).randbytes(60_000)}) for number in range(3))


def push_over_base(store: FakeStore, registry: MemoryRegistry, base: str) -> CompletedRun:
    """Push an image whose base image is copied from another registry."""
    hello = next(path for path in store.numbers if path.name.startswith("hello"))
    return push(store, registry, "--closure", str(hello), "--from-image", f"{base}/base:1", roots=())


@pytest.fixture
def base_registry() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        layout = LayoutBuilder()
        add_image(server, layout, layout.image(BASE), name="base")
        yield server


def test_a_layer_of_a_base_image_with_wrong_bytes_is_not_copied(
    store: FakeStore, registry: MemoryRegistry, base_registry: MemoryRegistry
) -> None:
    digest = str(digest_of(BASE[1]))
    base_registry.blobs["base"][digest] = BASE[1][:-1] + b"x"
    error = check_failed(push_over_base(store, registry, base_registry.host), registry, 6)
    assert error.startswith(f"blob {digest} of {base_registry.host}/base: got the digest sha256:")
    assert digest not in registry.blobs["me/app"]


def test_one_login_serves_all_layers_of_a_base_image(
    store: FakeStore, registry: MemoryRegistry, base_registry: MemoryRegistry, tmp_path: Path
) -> None:
    base_registry.authentication = "token"
    log_in(tmp_path, base_registry.host, PASSWORD)
    assert push_over_base(store, registry, base_registry.host).code == 0
    assert {str(digest_of(layer)) for layer in BASE} <= set(registry.blobs["me/app"])
    paths = [request.path.partition("?")[0] for request in base_registry.seen]
    assert (paths.count("/v2/"), paths.count("/token")) == (1, 1)


@pytest.mark.parametrize("interval", mark_rest((3, 2, 5), 1))
def test_a_base_image_is_copied_through_a_proxy_with_faults_or_the_push_fails(
    interval: int, store: FakeStore, registry: MemoryRegistry, base_registry: MemoryRegistry
) -> None:
    codes: Counter[int] = Counter()
    with serve_faults(base_registry.host) as proxy:
        for seed in range(10):
            registry.blobs["me/app"].clear()
            registry.add_manifest("me/app", "1", OLD, MANIFEST_TYPE)
            proxy.choose_fault = fail_every(interval, seed)
            ran = push_over_base(store, registry, proxy.address)
            assert ran.code in (0, 7, 8), ran.stderr
            assert (registry.manifests["me/app"]["1"] == (MANIFEST_TYPE, OLD)) is (ran.code != 0)
            codes[ran.code] += 1
    assert codes[0]
    assert codes[8] <= sum(exchange.fault is ProxyFault.UNAUTHORIZED for exchange in proxy.exchanges)


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" + data[1:]])
def test_a_layout_with_a_damaged_layer_is_not_pushed(
    change: Callable[[bytes], bytes], compression: str, registry: MemoryRegistry, tmp_path: Path
) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image(BASE))
    name = f"blobs/sha256/{digest_of(BASE[0]).hex}"
    layout.members[name] = change(BASE[0])
    layout.write(tmp_path / "layout")
    ran = run("push", tmp_path / "layout", "--to", f"{registry.host}/me/app:1", "--layer-compression", compression)
    assert digest_of(BASE[0]).hex in check_failed(ran, registry, 6)


# --- credentials


@pytest.mark.parametrize("authentication", ["basic", "token"])
def test_a_wrong_password_is_refused_with_its_file_in_the_hint(
    authentication: str, store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.authentication = authentication
    log_in(tmp_path, registry.host, "wrong-hunter2")
    ran = push(store, registry)
    check_failed(ran, registry, 8)
    assert f"the credentials came from {tmp_path}/config.json" in ran.stderr
    assert encode_auth(Account().user, "wrong-hunter2")["auth"] not in ran.stderr


@pytest.mark.parametrize("authentication", ["basic", "token"])
def test_no_credentials_are_refused_with_the_places_in_the_hint(
    authentication: str, store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.authentication = authentication
    ran = push(store, registry)
    check_failed(ran, registry, 8)
    assert f"hint: log in with docker login {registry.host}; no credentials in {tmp_path}/config.json" in ran.stderr


@pytest.mark.parametrize("authentication", ["basic", "token"])
def test_a_registry_that_always_answers_401_is_asked_a_few_times(
    authentication: str, store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.authentication = authentication
    log_in(tmp_path, registry.host, PASSWORD)
    registry.fail("GET", "/v2/$", lambda handler: handler._challenge([]), ALWAYS)
    for method in ("GET", "HEAD", "POST", "PUT"):
        registry.fail(method, "/v2/.+", lambda handler: handler._challenge([]), ALWAYS)
    check_failed(push(store, registry), registry, 8)
    assert len(registry.seen) < 40


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_a_token_that_ends_in_the_middle_is_renewed(
    method: str, store: FakeStore, registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.authentication = "token"
    log_in(tmp_path, registry.host, PASSWORD)

    def expire(handler: RegistryHandler) -> bool:
        registry.expire_tokens()
        return False

    registry.fail(method, "/v2/.+", expire, 2, after=2)
    ran = push(store, registry)
    assert ran.code == 0, ran.stderr
    assert registry.manifests["me/app"]["1"] != (MANIFEST_TYPE, OLD)
    assert not [secret for secret in SECRETS if secret in ran.stderr]


@pytest.mark.parametrize("authentication", ["basic", "token"])
def test_no_credential_is_in_a_command_line(
    authentication: str, store: FakeStore, registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.authentication = authentication
    answer = json.dumps({"ServerURL": "", "Username": Account().user, "Secret": PASSWORD})
    (tmp_path / "answer").write_text(answer)
    write_helper(tmp_path, "test", f"cat {tmp_path}/answer")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    reached, resume = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 8:
            reached.set()
            resume.wait(60)

    with serve_faults(registry.host, hold) as proxy:
        (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {proxy.address: "test"}}))
        arguments = ("push", "hello", "--store", store.root, "--to", f"{proxy.address}/me/app:1", "--debug")
        with process(*arguments) as running:
            assert reached.wait(60)
            named = find_pids(lambda command: any(secret in command for secret in SECRETS))
            resume.set()
            stdout, stderr = running.communicate(timeout=60)
    assert not named
    assert running.returncode == 0, stderr.decode()
    assert not [secret for secret in SECRETS if secret.encode() in stdout + stderr]


# --- two at once, a full disk, wrong names


def test_two_pushes_of_one_tag_at_once_end_right(store: FakeStore, registry: MemoryRegistry) -> None:
    arguments = ("push", "hello", "--store", store.root, "--to", f"{registry.host}/me/app:1", "--env")
    with process(*arguments, "A=1") as first, process(*arguments, "A=2") as second:
        printed = [running.communicate(timeout=120)[0].decode() for running in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    digests = {text.strip().partition("@")[2] for text in printed}
    assert len(digests) == 2
    assert str(digest_of(registry.manifests["me/app"]["1"][1])) in digests
    assert digests < set(registry.manifests["me/app"])


def test_a_full_disk_is_an_error(registry: MemoryRegistry, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    large = FakeStore(tmp_path / "large")
    large.add("hello-1", {"data": os.urandom(1 << 20)})
    script = 'mount -t tmpfs -o size=200k none "$1" && export TMPDIR="$1" && shift && exec "$@"'
    command = [sys.executable, "-m", "lamina", "push", "hello", "--store", large.root]
    done = in_mount_namespace(script, [disk, *map(str, command), "--to", f"{registry.host}/me/app:1"])
    check_failed(CompletedRun(done.returncode, done.stdout, done.stderr.decode()), registry, 10)
    assert "No space left on device" in done.stderr.decode()
    assert "TMPDIR" in done.stderr.decode()


NAMES = (
    "",
    "-",
    "HOST/UPPER:1",
    "HOST/me/app:",
    "HOST/me/app:-1",
    "HOST/me//app:1",
    f"HOST/me/app:{'x' * 129}",
    f"HOST/{'x/' * 200}app:1",
    "HOST/me/app@sha256:1234",
    "host:99999/me/app:1",
    "http://HOST/me/app:1",
    "docker-daemon:me/app:1",
    "oci:folder",
    "HOST/me/app:1\n",
    "user:hunter2@HOST/me/app:1",
)


@pytest.mark.parametrize("name", NAMES)
def test_an_invalid_name_is_refused(name: str, store: FakeStore, registry: MemoryRegistry) -> None:
    arguments = ("push", "hello", "--store", store.root, "--to", name.replace("HOST", registry.host))
    check_failed(run(*arguments), registry, 2)
    assert not registry.seen
