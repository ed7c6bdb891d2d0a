"""``lamina serve`` serves packages by name and the images of a spec file, to those who may have them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.binary_cache import KEY, Cache, Machine, serve_cache
from tests.support.binary_cache import example as cache_example
from tests.support.buckets import serve_buckets
from tests.support.fake_nix_store import FakeStore, Program, example, run, store_path
from tests.support.logins import basic, hash_password, hash_token
from tests.support.processes import wait_until
from tests.support.s3_server import ID, SECRET
from tests.support.served_images import layers_of
from tests.support.serving import Serving, serve
from tests.support.tls import create_certificates

import lamina

SPEC = """\
[web]
contents = ["hello"]
config.Cmd = ["/bin/hello"]
architecture = "amd64"

[old]
name = "web"
tag = "1.0"
contents = ["tool"]
architecture = "amd64"

[both]
name = "team/both"
platforms = ["linux/amd64", "linux/arm64"]
contents = ["data"]
"""


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    store, _ = example(tmp_path / "root")
    store.add("tool-1", {"bin": {"tool": Program(b"#!/bin/sh\n")}})
    store.add("data-1", {"share": {"data": b"x" * 1000}})
    return store


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "lamina.toml"
    file.write_text(SPEC)
    return file


def pull_names(server: Serving, repository: str, tag: str = "latest") -> set[str]:
    """Pull an image, check its digests, and return the names of the store paths in the comments on its layers."""
    manifest = server.get_json(f"/v2/{repository}/manifests/{tag}")
    config = server.get(f"/v2/{repository}/blobs/{manifest['config']['digest']}").body
    for digest in layers_of(manifest):
        blob = server.get(f"/v2/{repository}/blobs/{digest}").body
        assert digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    comments = " ".join(item.get("comment", "") for item in json.loads(config)["history"])
    return {name for name in ("hello", "tool", "data") if f"-{name}-" in comments}


def error_of(server: Serving, path: str) -> tuple[int, str, str]:
    answer = server.get(path)
    (error,) = json.loads(answer.body)["errors"]
    return answer.status, error["code"], error["message"]


def test_packages_are_served_by_their_names(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root) as server:
        assert pull_names(server, "tool") == {"tool"}
        assert pull_names(server, "tool/data") == {"tool", "data"}
        assert pull_names(server, "amd64/tool/hello") == {"tool", "hello"}
        assert pull_names(server, store_path("tool-1").hash) == {"tool"}
        assert server.get_json("/v2/tool/tags/list") == {"name": "tool", "tags": ["latest"]}
        assert error_of(server, "/v2/tool/manifests/other")[:2] == (404, "MANIFEST_UNKNOWN")
        status, code, message = error_of(server, "/v2/nothing/manifests/latest")
        assert (status, code) == (404, "MANIFEST_UNKNOWN")
        assert "no valid path of that name" in message


def test_the_architecture_is_a_part_of_the_name(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root) as server:
        manifest = server.get_json("/v2/arm64/tool/manifests/latest")
        config = server.get_json(f"/v2/arm64/tool/blobs/{manifest['config']['digest']}")
        assert config["architecture"] == "arm64"


def test_the_digests_are_those_of_a_push(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root) as server:
        served = server.get("/v2/tool/manifests/latest")
    with lamina.stream_layered_image(store=str(store.root), contents=["tool"], layer_compression="gzip") as stream:
        stream.build(f"{tmp_path}/layout/")
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert served.headers["docker-content-digest"] == entry["digest"]


def test_the_images_of_a_spec_file_are_served_and_no_others(store: FakeStore, spec: Path, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root, "--spec", spec) as server:
        assert pull_names(server, "web") == {"hello"}
        assert pull_names(server, "web", "1.0") == {"tool"}
        assert server.get_json("/v2/web/tags/list")["tags"] == ["1.0", "latest"]
        index = server.get_json("/v2/team/both/manifests/latest")
        assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
        for entry in index["manifests"]:
            assert pull_names(server, "team/both", entry["digest"]) == {"data"}
        assert error_of(server, "/v2/tool/manifests/latest")[:2] == (404, "MANIFEST_UNKNOWN")
    with serve(tmp_path, "--store", store.root, "--spec", spec, "--allow", "t*") as server:
        assert pull_names(server, "web") == {"hello"}
        assert pull_names(server, "tool") == {"tool"}


def test_only_allowed_packages_are_served(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root, "--allow", "to*", "--allow", "data") as server:
        assert pull_names(server, "tool/data") == {"tool", "data"}
        for name in ("hello", "tool/hello", store_path("tool-1").hash, store_path("hello-2.12.1").hash):
            assert error_of(server, f"/v2/{name}/manifests/latest")[:2] == (403, "DENIED")


def test_an_image_that_is_too_large_is_refused(store: FakeStore, tmp_path: Path) -> None:
    store.add("large-1", {"data": b"x" * 200_000})
    with serve(tmp_path, "--store", store.root, "--max-size", "100K") as server:
        assert server.get("/v2/tool/manifests/latest").status == 200
        status, code, message = error_of(server, "/v2/large/manifests/latest")
        assert (status, code) == (403, "DENIED")
        assert "at most 100 KiB" in message


def test_names_that_would_lead_elsewhere_find_nothing(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with serve(tmp_path, "--store", store.root) as server:
        for name in ("..", "%2e%2e", "tool/..%2f..", "nix/store", "tool%2fdata", "%00", ".", "secret", "root", "Tool"):
            answer = server.get(f"/v2/{name}/manifests/latest")
            assert answer.status in (403, 404)
            assert b"is a file here" not in answer.body
        assert pull_names(server, "tool") == {"tool"}


def test_users_of_the_file_pull_and_nobody_else(store: FakeStore, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"me:{hash_password('secret')}\n")
    with serve(tmp_path, "--store", store.root, "--auth-file", users) as server:
        for path in ("/v2/", "/v2/tool/manifests/latest", "/metrics", "/"):
            refused = server.get(path)
            assert refused.status == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
        login = {"Authorization": basic("me:secret")}
        assert server.get("/v2/tool/manifests/latest", headers=login).status == 200
        wait_until(lambda: len(server.read_log()) == 5)
        assert [line.get("user") for line in server.read_log()] == [None, None, None, None, "me"]
        assert "secret" not in server.log.read_text()


def test_users_get_tokens_and_pull_with_them(store: FakeStore, tmp_path: Path) -> None:
    users, key = tmp_path / "users", tmp_path / "key"
    users.write_text(f"me:{hash_password('secret')}\nci:{hash_token('program')}\n")
    key.write_bytes(os.urandom(32))
    arguments = ("--store", store.root, "--auth-file", users, "--token-key", key)
    tokens = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with serve(folder, *arguments) as server:
            refused = server.get("/v2/tool/manifests/latest")
            assert refused.status == 401
            assert refused.headers["www-authenticate"] == (
                f'Bearer realm="{server.url}/token",service="lamina",scope="repository:tool:pull"'
            )
            assert server.get("/").headers["www-authenticate"].startswith("Basic ")
            query = "service=lamina&scope=repository:tool:pull"
            assert server.get(f"/token?{query}").status == 401
            given = server.get(f"/token?{query}", headers={"Authorization": basic("me:secret")})
            tokens.append(json.loads(given.body)["token"])
            for token in tokens:  # the second server takes those of the first one
                bearer = {"Authorization": f"Bearer {token}"}
                assert server.get("/v2/tool/manifests/latest", headers=bearer).status == 200
                assert server.get("/v2/hello/manifests/latest", headers=bearer).status == 401
            assert server.get("/v2/hello/tags/list", headers={"Authorization": "Bearer program"}).status == 200
            wait_until(lambda: len(server.read_log()) >= 7)
            assert [line.get("user") for line in server.read_log()][3] == "me"
            text = server.log.read_text()
            assert "secret" not in text
            assert tokens[-1] not in text


def test_https(store: FakeStore, tmp_path: Path) -> None:
    certificates = create_certificates(tmp_path)
    files = ("--tls-cert", tmp_path / "server.pem", "--tls-key", tmp_path / "key.pem")
    with serve(tmp_path, "--store", store.root, *files) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(certificates.bundle))
        assert server.get("/v2/tool/manifests/latest", context).status == 200


def test_the_log_has_a_document_for_each_answer(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root) as server:
        size = len(server.get("/v2/tool/manifests/latest").body)
        server.get("/v2/no%0ane/tags/list")
        wait_until(lambda: len(server.read_log()) == 2)
        first, second = server.read_log()
    assert first.keys() == {"time", "client", "method", "path", "status", "bytes", "seconds"}
    assert (first["path"], first["status"], first["bytes"]) == ("/v2/tool/manifests/latest", 200, size)
    assert (second["path"], second["status"]) == ("/v2/no%0ane/tags/list", 404)
    assert "not the name of a repository" in second["problem"]


def test_a_client_does_not_decide_how_long_a_line_of_the_log_is(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root) as server:
        server.get(f"/v2/?{'x' * 20_000}")
        wait_until(lambda: len(server.read_log()) == 1)
        (answered,) = server.read_log()
    assert answered["path"].startswith("/v2/?xxx")
    assert len(answered["path"]) == 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_after_the_answers_that_are_being_sent(
    store: FakeStore, tmp_path: Path, number: signal.Signals
) -> None:
    store.add("large-1", {"data": os.urandom(24 << 20)})
    with serve(tmp_path, "--store", store.root, "--layer-compression", "none") as server:
        layers = server.get_json("/v2/large/manifests/latest")["layers"]
        largest = max(layers, key=lambda layer: int(layer["size"]))
        host, _, port = server.address.partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"GET /v2/large/blobs/{largest['digest']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            received = connection.recv(1000)
            server.process.send_signal(number)
            while data := connection.recv(1 << 20):
                received += data
        assert received.endswith(bytes(1024))  # the end of the tar
        assert len(received.partition(b"\r\n\r\n")[2]) == largest["size"]
        assert server.process.wait(60) == 0


def test_another_process_serves_the_same_bytes(store: FakeStore, tmp_path: Path) -> None:
    served = []
    for _ in range(2):
        with serve(tmp_path, "--store", store.root) as server:
            served.append(server.get("/v2/tool/data/manifests/latest").body)
            assert pull_names(server, "tool/data") == {"tool", "data"}
            assert server.stop() == 0
    assert served[0] == served[1]


def test_servers_with_one_bucket_and_one_layer_cache_make_no_layer_twice(store: FakeStore, tmp_path: Path) -> None:
    served: list[bytes] = []
    made: list[int] = []
    path, data = store_path("tool-1"), store_path("data-1")
    spec = tmp_path / "lamina.toml"
    spec.write_text(f'[app]\ncontents = ["{path}", "{data}"]\narchitecture = "amd64"\n')
    with serve_buckets("shared") as address, ExitStack() as servers:
        more = f"?endpoint={address}&scheme=http&region=us-east-1"
        bucket, layers = f"s3://shared/cache{more}", f"s3://shared/layers{more}"
        environment = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET, "no_proxy": "*"}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            pushed = run("store", "push", "--store", store.root, "--to", bucket, str(path), str(data))
        assert pushed.code == 0, pushed.stderr
        for number in range(2):
            folder = tmp_path / f"machine{number}"
            own = {name: str(folder / name) for name in ("TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
            for place in own.values():
                Path(place).mkdir(parents=True)
            arguments = ("--store", bucket, "--no-verify-signatures", "--spec", spec)
            server = servers.enter_context(
                serve(folder, *arguments, layer_cache=layers, environment={**environment, **own})
            )
            served.append(server.get("/v2/app/manifests/latest").body)
            made.append(len([file for file in (folder / "TMPDIR").glob("*/*") if file.name.isdigit()]))
            assert pull_names(server, "app") == {"tool", "data"}
    assert served[0] == served[1]
    assert made == [len(layers_of(json.loads(served[0]))), 1]  # the customisation layer is made with every image


def test_a_store_path_of_a_binary_cache_is_served_by_its_hash(tmp_path: Path) -> None:
    cache, machine = Cache(tmp_path / "cache"), Machine(tmp_path / "machine")
    root = cache_example(cache)
    machine.folder.mkdir()
    arguments = ("--store", cache.url, "--trusted-key", str(KEY.public))
    with serve(machine.folder, *arguments, environment=machine.environment) as server:
        manifest = server.get(f"/v2/{root.hash}/manifests/latest")
        assert manifest.status == 200, manifest.body
        assert error_of(server, f"/v2/{'0' * 32}/manifests/latest")[:2] == (404, "MANIFEST_UNKNOWN")
        assert pull_names(server, root.hash) == {"hello"}
    other = Machine(tmp_path / "other")
    other.folder.mkdir()
    with serve(other.folder, "--store", cache.url, environment=other.environment) as server:
        status, _, message = error_of(server, f"/v2/{root.hash}/manifests/latest")
        assert (status, "signature" in message) == (500, True)


def test_a_server_downloads_no_store_paths_of_layers_that_need_not_be_made(tmp_path: Path) -> None:
    """Only the package itself is needed: the customisation layer links to its files."""
    cache = Cache(tmp_path / "cache")
    root = cache_example(cache)
    spec = tmp_path / "lamina.toml"
    spec.write_text(f'[app]\ncontents = ["{root}"]\narchitecture = "amd64"\n')
    needed: dict[str, int] = {}
    with serve_cache(cache.folder) as asked:
        arguments = ("--store", asked.url, "--trusted-key", str(KEY.public), "--spec", spec)
        for name, options in {"first": (), "second": (), "small": ("--max-size", "10")}.items():
            machine, before = Machine(tmp_path / name), len(asked.asked)
            machine.folder.mkdir()
            with serve(
                machine.folder,
                *arguments,
                *options,
                layer_cache=f"file://{tmp_path}/layers",
                environment=machine.environment,
            ) as server:
                status = server.get("/v2/app/manifests/latest").status
                assert status == (403 if options else 200)
            needed[name] = len({path for path in asked.asked[before:] if "nar/" in path})
    assert needed == {"first": len(cache.trees), "second": 1, "small": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--listen", "0.0.0.0:0"), "which other machines reach"),
        (("--listen", "[::]:0"), "which other machines reach"),
        (("--listen", "example.org"), "expected HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), "expected HOST:PORT"),
        (("--max-builds", "0"), "expected at least 1"),
        (("--max-size", "many"), "--max-size"),
        (("--allow", "a/b"), "--allow"),
        (("--tls-cert", "x"), "--tls-key: got none"),
        (("--tls-cert", "none.pem", "--tls-key", "none.pem"), "expected a certificate in PEM"),
        (("--auth-file", "none"), "none"),
        (("--token-key", "none"), "--token-key: got no --auth-file"),
        (("--public", "--auth-file", "users"), "--public: got it with --auth-file"),
        (("--spec", "none.toml"), "none.toml"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_served(
    store: FakeStore, tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = () if "--listen" in arguments else ("--listen", "127.0.0.1:0")
    ran = run("serve", "--store", store.root, *address, *arguments)
    assert ran.code != 0
    assert message in ran.stderr
    assert not ran.stdout


def test_an_address_that_is_in_use_is_refused(store: FakeStore, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("serve", "--store", store.root, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ran.code == 10
    assert "expected an address to listen on" in ran.stderr


def test_public_and_users_open_the_server_to_other_machines(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root, "--public", listen="0.0.0.0:0") as server:
        local = Serving(server.url.replace("0.0.0.0", "127.0.0.1"), server.process, server.log)
        assert local.get("/healthz").status == 200


def test_two_tables_of_one_name_are_refused(store: FakeStore, tmp_path: Path) -> None:
    spec = tmp_path / "lamina.toml"
    spec.write_text('[web]\ncontents = ["hello"]\n[other]\nname = "web"\ncontents = ["tool"]\n')
    ran = run("serve", "--store", store.root, "--spec", spec, "--listen", "127.0.0.1:0")
    assert ran.code == 2
    assert "web:latest, as another image" in ran.stderr


def test_the_page_lists_the_images_and_makes_none(store: FakeStore, spec: Path, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root, "--spec", spec) as server:
        cold = server.get("/")
        assert cold.headers["content-type"] == "text/html; charset=utf-8"
        for name in ("web:latest", "web:1.0", "team/both:latest"):
            assert f"docker pull {server.address}/{name}".encode() in cold.body
        assert server.get("/").body.count(b"Not made yet") == 3
        pull_names(server, "web")
        ready = server.get("/", headers={"If-None-Match": cold.headers["etag"]})
        assert ready.status == 200
        assert ready.body.count(b"Not made yet") == 2
        assert b"Packages by name" not in ready.body
        assert server.get("/", headers={"If-None-Match": ready.headers["etag"]}).status == 304


def test_the_page_lists_packages_that_were_pulled(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root) as server:
        assert b"No image was made yet" in server.get("/").body
        pull_names(server, "tool/data")
        page = server.get("/").body
        assert f"docker pull {server.address}/tool/data:latest".encode() in page
        assert b"Packages by name" in page


def test_a_wrong_host_is_refused(store: FakeStore, tmp_path: Path) -> None:
    with serve(tmp_path, "--store", store.root) as server:
        answer = server.get("/", headers={"Host": "a.b/<script>"})
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/json"
        assert b"a.example/PACKAGE" in server.get("/", headers={"Host": "a.example"}).body
