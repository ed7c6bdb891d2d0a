"""``lamina store key`` and ``lamina store sign``: keys stay secret, and their signatures are trusted."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.binary_cache import check_store
from tests.support.embedded_store import CLOSURE, KEY, ROOT, fetch_example, narinfos_by_package
from tests.support.fake_nix_store import as_nobody, run

import lamina
from lamina.errors import InputError, InvalidArgument, OutputError
from lamina.formats.keys import PublicKey, SecretKey, find_signer
from lamina.stores.embedded.store import EmbeddedStore
from lamina.system.keyfile import read_key, write_key


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def test_only_the_owner_can_read_a_key(here: Path) -> None:
    old = os.umask(0)
    try:
        ran = run("store", "key", "generate", "test-1", "-o", "key")
    finally:
        os.umask(old)
    assert (ran.code, ran.stderr) == (0, "")
    assert Path("key").stat().st_mode & 0o777 == 0o600
    secret = SecretKey.parse(Path("key").read_text())
    assert ran.stdout.decode() == f"{secret.public}\n"
    again = run("store", "key", "public", "key", "--json")
    expected = {"version": 1, "name": "test-1", "public_key": str(secret.public), "file": "key", "warnings": []}
    assert json.loads(again.stdout) == expected


def test_a_key_is_never_written_over(here: Path) -> None:
    run("store", "key", "generate", "test-1", "-o", "key")
    before = Path("key").read_bytes()
    ran = run("store", "key", "generate", "test-2", "-o", "key")
    assert (ran.code, Path("key").read_bytes()) == (10, before)
    assert ran.error == "key: got an existing file, expected no file, because keys are never overwritten"
    Path("link").symlink_to("nowhere")
    assert run("store", "key", "generate", "test-2", "-o", "link").code == 10
    assert not Path("nowhere").exists()
    assert run("store", "key", "generate", "test-2", "-o", "no/such/folder").code == 10


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n"])
def test_an_invalid_name_is_refused_before_a_file_is_made(here: Path, name: str) -> None:
    assert run("store", "key", "generate", name, "-o", "key").code == 2
    assert not Path("key").exists()


def test_a_full_disk_leaves_no_half_a_key(here: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not here")
    with pytest.raises(OutputError):
        write_key(SecretKey.generate("a"), Path("/dev/full"))


def test_no_error_shows_a_secret(here: Path) -> None:
    secret = str(SecretKey.generate("test-1"))
    word = secret.partition(":")[2][:20]
    for content in (secret + "A", secret[:-4], secret.replace(":", "?"), f"{secret}\n{secret}", secret[:50]):
        Path("key").write_text(content)
        for arguments in (
            ["key", "public", "key"],
            ["sign", "--key", "key", "--all"],
            ["key", "public", "key", "--debug"],
        ):
            ran = run("store", *arguments)
            assert ran.code == 2, ran.stderr
            assert word not in ran.stderr + ran.stdout.decode()
    Path("key").write_bytes(secret.encode() + b"\xff")
    ran = run("store", "key", "public", "key", "--debug")
    assert (ran.code, word in ran.stderr) == (2, False)


def test_a_key_may_end_with_a_line_end(here: Path) -> None:
    key = SecretKey.generate("test-1")
    Path("key").write_text(f"{key}\n")
    assert read_key(Path("key")) == key


def test_a_key_that_cannot_be_read_is_an_error(here: Path) -> None:
    with pytest.raises(InputError):
        read_key(Path("none"))
    with pytest.raises(InputError):
        lamina.public_key("\0")
    with pytest.raises(InputError):
        read_key(here)
    assert run("store", "sign", "--key", "none", "--all").code == 11


def test_a_signed_path_is_trusted(here: Path) -> None:
    store = here / "store"
    fetch_example(store)
    run("store", "key", "generate", "mine-1", "-o", "key")
    public = lamina.public_key("key")
    ran = run("store", "sign", "--key", "key", "greeting", "--store", store)
    (path,) = ran.stdout.decode().split()
    assert path.endswith("-greeting-1.0")
    for package, known in narinfos_by_package(store).items():
        names = [text.partition(":")[0] for text in known.signatures]
        assert names == ["lamina-example-1", *(["mine-1"] if package == "greeting" else [])]
        assert find_signer(known.fingerprint, known.signatures, [PublicKey.parse(KEY)])
    ran = run("store", "sign", "--key", "key", "greeting", "-r", "--store", store)
    assert len(ran.stdout.split()) == 4
    ran = run("store", "sign", "--key", "key", "--all", "--store", store, "--json")
    assert len(json.loads(ran.stdout)["paths"]) == CLOSURE
    for known in narinfos_by_package(store).values():
        assert len(known.signatures) == 2
        assert find_signer(known.fingerprint, known.signatures, [public]) == "mine-1"
    check_store(store)
    ran = run("stream", ROOT, "--store", f"file://{store}", "--trusted-key", str(public), "--no-layer-cache", "--quiet")
    assert ran.code == 0, ran.stderr


def test_a_signature_under_the_same_name_is_replaced(here: Path) -> None:
    store = here / "store"
    fetch_example(store)
    for number in (1, 2):
        lamina.generate_key("mine-1", f"key{number}")
        (known,) = lamina.sign_paths("licence", key_file=f"key{number}", embedded_store=store)
    assert len(known.signatures) == 2
    assert not find_signer(known.fingerprint, known.signatures, [lamina.public_key("key1")])
    assert find_signer(known.fingerprint, known.signatures, [lamina.public_key("key2")])
    again = lamina.sign_paths("licence", key_file="key2", embedded_store=store)
    assert again == (known,)


def test_paths_to_sign_must_be_named_and_must_exist(here: Path) -> None:
    store = here / "store"
    fetch_example(store)
    lamina.generate_key("mine-1", "key")
    for arguments, code in (([], 2), (["hello", "--all"], 2), (["nosuch"], 5), ([ROOT.replace("hello", "hullo")], 5)):
        assert run("store", "sign", "--key", "key", *arguments, "--store", store).code == code
    with pytest.raises(InvalidArgument):
        lamina.sign_paths(key_file="key", embedded_store=store)


def test_a_path_without_its_nar_is_not_signed(here: Path) -> None:
    store = here / "store"
    fetch_example(store)
    lamina.generate_key("mine-1", "key")
    known = narinfos_by_package(store)["licence"]
    narinfo = store / f"{known.info.path.hash}.narinfo"
    narinfo.chmod(0o644)
    narinfo.write_text(replace(known, compression="xz", url=f"{known.url}.xz").dump())
    before = narinfo.read_bytes()
    assert run("store", "sign", "--key", "key", "licence", "--store", store).code == 5
    assert narinfo.read_bytes() == before


def test_a_store_that_cannot_be_written_is_an_error(here: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become nobody")
    store = here / "store"
    fetch_example(store)
    lamina.generate_key("mine-1", "key")
    key = read_key(Path("key"))
    known = EmbeddedStore(store).narinfos()[0]
    assert key.sign(known.fingerprint)

    def attempt() -> str:
        try:
            EmbeddedStore(store).publish(known)
        except OutputError as error:
            return str(error)
        return ""

    here.chmod(0o755)
    for parent in here.parents[:3]:  # with pytest-xdist there is one more folder in between
        parent.chmod(0o755)
    assert re.match("store .*: got Permission denied, expected a writable store", as_nobody(attempt))


def test_a_secret_key_does_not_go_to_stdout(here: Path) -> None:
    ran = run("store", "key", "generate", "mine-1", "-o", "-")
    assert (ran.code, ran.stdout) == (2, b"")
    assert not Path("-").exists()
