"""Exports in both directions, pushed caches and keys, exchanged with real Nix."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer
from tests.integration.closures import Nix, Sample
from tests.integration.tools import ToolError
from tests.support.embedded_store import check_cache
from tests.support.fake_nix_store import run

import lamina
from lamina.formats import nix_export
from lamina.formats.keys import CACHE_NIXOS_ORG


def _export(nix: Nix, sample: Sample, file: Path) -> bytes:
    command = (*nix.prefix, "nix-store", "--export", *sample.paths)
    with file.open("wb") as out:
        subprocess.run(command, env=nix.environment, stdout=out, check=True, timeout=600)
    return file.read_bytes()


def _import(nix: Nix, data: bytes, root: Path) -> list[str]:
    """Let Nix import an export into an empty store below ``root``, and return the imported paths."""
    command = (*nix.prefix, "nix-store", "--store", str(root), "--option", "require-sigs", "false", "--import")
    done = subprocess.run(command, env=nix.environment, input=data, capture_output=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split()


@pytest.fixture
def embedded(nix: Nix, small: Sample, tmp_path: Path) -> Path:
    """An embedded store with the small closure."""
    _export(nix, small, tmp_path / "export")
    lamina.import_paths(tmp_path / "export", embedded_store=tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    lamina.generate_key("pushed-1", tmp_path / "key")
    return tmp_path / "key"


def test_an_export_of_nix_is_imported_and_exported_unchanged(every_nix: Nix, small: Sample, tmp_path: Path) -> None:
    data = _export(every_nix, small, tmp_path / "export")
    ran = run("store", "import", tmp_path / "export", "--to", tmp_path / "store")
    assert ran.stdout.decode().split() == list(small.paths)
    assert run("store", "verify", "--store", tmp_path / "store").code == 0
    ran = run("store", "export", small.root, "--store", tmp_path / "store", "--quiet")
    # The order of two paths that do not depend on each other may differ.
    assert (ran.code, len(ran.stdout)) == (0, len(data))
    assert _split_export(ran.stdout) == _split_export(data)


def _split_export(data: bytes) -> set[bytes]:
    """Split an export into its paths, each with its metadata."""
    stream = io.BytesIO(data)
    blocks, start = set(), 0
    for _ in nix_export.parse(stream.read, len):
        blocks.add(data[start : stream.tell()])
        start = stream.tell()
    return blocks


def test_nix_imports_an_export_of_the_embedded_store(
    every_nix: Nix, embedded: Path, small: Sample, tmp_path: Path
) -> None:
    ran = run("store", "export", "--all", "--store", embedded, "--quiet")
    root = tmp_path / "nix-root"
    assert sorted(_import(every_nix, ran.stdout, root)) == sorted(small.paths)
    done = every_nix.call("nix-store", "--store", root, "--verify", "--check-contents")
    assert "error" not in done.stderr
    for path in small.paths:
        query = ("nix-store", "--store", root, "--query", "--hash", path)
        assert every_nix.call(*query).stdout == every_nix.call("nix-store", "--query", "--hash", path).stdout


def test_nix_imports_an_export_of_its_own_store(every_nix: Nix, small: Sample, tmp_path: Path) -> None:
    ran = run("store", "export", small.root, "--store", "/", "--quiet")
    assert ran.code == 0, ran.stderr
    assert sorted(_import(every_nix, ran.stdout, tmp_path / "nix-root")) == sorted(small.paths)


@pytest.mark.parametrize("compression", ["zstd", "xz", "none", "gzip", "bzip2"])
def test_nix_copies_from_a_pushed_cache(
    every_nix: Nix, embedded: Path, small: Sample, key: Path, tmp_path: Path, compression: str
) -> None:
    cache = tmp_path / "cache"
    flags = ("--key", key, "--compression", compression, "--quiet")
    ran = run("store", "push", small.root, "--store", embedded, "--to", f"file://{cache}", *flags)
    assert ran.code == 0, ran.stderr
    assert len(check_cache(cache)) == len(small.paths)
    keys = ("--option", "trusted-public-keys", str(lamina.public_key(key)))
    to = f"local?root={tmp_path / 'nix-root'}"
    every_nix.call("nix", "copy", "--from", f"file://{cache}", "--to", to, small.root, *keys)
    done = every_nix.call("nix-store", "--store", to, "--verify", "--check-contents")
    assert "error" not in done.stderr
    verify = ("nix", "store", "verify", "--store", f"file://{cache}", "--recursive", small.root)
    every_nix.call(*verify, "--trusted-public-keys", str(lamina.public_key(key)))
    with pytest.raises(ToolError):
        every_nix.call(*verify, "--trusted-public-keys", str(CACHE_NIXOS_ORG))


def test_listings_equal_those_that_nix_writes(every_nix: Nix, embedded: Path, small: Sample, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    every_nix.call("nix", "copy", "--to", f"file://{theirs}?write-nar-listing=true&compression=none", small.root)
    run("store", "push", small.root, "--store", embedded, "--to", f"file://{ours}", "--quiet")
    files = sorted(theirs.glob("*.ls"))
    assert len(files) == len(small.paths)
    for file in files:
        assert json.loads((ours / file.name).read_bytes()) == json.loads(file.read_bytes())


def test_nix_reads_our_listings(every_nix: Nix, embedded: Path, small: Sample, tmp_path: Path) -> None:
    run("store", "push", small.root, "--store", embedded, "--to", f"file://{tmp_path}/cache", "--quiet")
    done = every_nix.call("nix", "store", "ls", "--store", f"file://{tmp_path}/cache", "--json", "-R", small.root)
    document = json.loads((tmp_path / "cache" / f"{small.root[11:43]}.ls").read_bytes())
    assert set(json.loads(done.stdout)["entries"]) == set(document["root"]["entries"])


def test_nix_copies_from_a_signed_store(
    every_nix: Nix, embedded: Path, small: Sample, key: Path, tmp_path: Path
) -> None:
    keys = ("--option", "trusted-public-keys", str(lamina.public_key(key)))
    copy = ("nix", "copy", "--from", f"file://{embedded}", "--to", f"local?root={tmp_path / 'nix-root'}", small.root)
    with pytest.raises(ToolError, match="signature"):
        every_nix.call(*copy, *keys)
    assert run("store", "sign", "--all", "--key", key, "--store", embedded).code == 0
    every_nix.call(*copy, *keys)


def test_nix_reads_our_keys(every_nix: Nix, key: Path) -> None:
    script = 'exec nix key convert-secret-to-public < "$1"'
    assert every_nix.call("/bin/sh", "-c", script, "sh", key).stdout == str(lamina.public_key(key))


def test_gc_keeps_the_paths_that_nix_would_keep(nix: Nix, embedded: Path, small: Sample) -> None:
    inner = small.paths[-2]
    assert run("store", "gc", inner, "--store", embedded).code == 0
    ran = run("store", "ls", "--store", embedded)
    assert sorted(ran.stdout.decode().split()) == sorted(nix.requisites(inner))


_PUBLIC = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*",'
    ' "Resource": "arn:aws:s3:::%s/*"}]}'
)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2secret")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    name = f"cache-{port}-{os.getpid()}"  # a new name for each test, because Nix caches the contents of a bucket
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket=name)
    client.put_bucket_policy(Bucket=name, Policy=_PUBLIC % name)
    yield f"s3://{name}?endpoint={host}:{port}&scheme=http&region=us-east-1"
    server.stop()


def test_a_newer_nix_copies_from_a_bucket_if_it_supports_s3(
    newer_nix: Nix, embedded: Path, small: Sample, key: Path, tmp_path: Path, bucket: str
) -> None:
    ran = run("store", "push", small.root, "--store", embedded, "--to", bucket, "--key", key, "--quiet")
    assert ran.code == 0, ran.stderr
    keys = ("--option", "trusted-public-keys", str(lamina.public_key(key)))
    copy = ("nix", "copy", "--from", bucket, "--to", f"local?root={tmp_path / 'nix-root'}", small.root, *keys)
    try:
        newer_nix.call(*copy)
    except ToolError as error:
        # Debian builds some of its versions without S3.
        if newer_nix.version() >= (2, 30) or "know how to open" not in str(error):
            raise
