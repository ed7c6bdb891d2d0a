"""``lamina verify``."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.binary_cache import KEY, OTHER, Cache, example
from tests.support.factories import File
from tests.support.fake_nix_store import CompletedRun, run
from tests.support.registry import MemoryRegistry, serve_open_registry

from lamina.core.names import StorePath


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Return a signed cache, and make image.tar of it in the working folder."""
    monkeypatch.chdir(tmp_path)
    made = Cache(tmp_path / "cache")
    root = example(made)
    words = ["-t", "hello:1", "--no-layer-cache", "--store", made.url, "--trusted-key", str(KEY.public)]
    assert run("build", str(root), "-o", "image.tar", *words).code == 0
    return made


def verify(cache: Cache, *words: str) -> CompletedRun:
    return run("verify", "image.tar", "--store", cache.url, "--trusted-key", str(KEY.public), *words)


def find(cache: Cache, name: str) -> StorePath:
    return next(path for path in cache.trees if path.name.startswith(name))


def test_the_table_has_a_verdict_for_each_layer(cache: Cache) -> None:
    ran = verify(cache)
    assert (ran.code, ran.stderr) == (0, "")
    lines = ran.stdout.decode().splitlines()
    assert lines[:-1] == [
        "LAYER      SIZE  VERDICT                PATHS",
        "    1  10.0 KiB  reproduced and signed  libgreet-1.0",
        "    2  10.0 KiB  reproduced and signed  words-2.1",
        "    3  10.0 KiB  reproduced and signed  sh-5",
        "    4  10.0 KiB  reproduced and signed  hello-2.12.1",
        "    5  10.0 KiB  not of store paths     customisation layer",
    ]
    name, digest, layers, verdicts = lines[-1].split("  ")
    assert (name, layers, verdicts) == ("hello:1", "5 layers", "4 reproduced and signed, 1 not of store paths")
    assert digest.startswith("sha256:")


def test_full_lists_every_path_with_its_key(cache: Cache) -> None:
    cache.sign(find(cache, "words"))
    lines = verify(cache, "--full").stdout.decode().splitlines()
    assert lines[0].split() == ["LAYER", "SIZE", "VERDICT", "PATH", "KEY"]
    assert lines[1].split()[-2:] == [str(find(cache, "libgreet")), KEY.name]
    assert lines[2].split() == ["2", "10.0", "KiB", "reproduced", str(find(cache, "words")), "none"]


def test_a_flipped_byte_is_an_error_that_names_the_file(cache: Cache) -> None:
    data = Path("image.tar").read_bytes()
    Path("image.tar").write_bytes(data.replace(b"hello\n", b"jello\n"))
    ran = verify(cache)
    message = f"layer 2: {find(cache, 'words')}/share/hello.txt: got other content at byte 0 of 6"
    assert ran.code == 6
    assert ran.stderr.startswith(f"lamina: {message}")
    lines = ran.stdout.decode().splitlines()
    assert lines[2].split()[3] == "differs"
    assert any(line.startswith(message) for line in lines)


@pytest.mark.parametrize(("signers", "got"), [((), "no signature"), ((OTHER,), "only signatures of other.test-1")])
def test_an_unsigned_path_is_an_error_if_a_key_is_named(signers: tuple[()], got: str, cache: Cache) -> None:
    words = find(cache, "words")
    cache.sign(words, *signers)
    ran = verify(cache)
    assert (ran.code, ran.stdout.decode().splitlines()[2].split()[3:]) == (6, ["reproduced", "words-2.1"])
    assert f"layer 2: {words} in {cache.url}: got {got}, expected a signature of" in ran.stderr
    assert "hint: --trusted-key NAME:BASE64" in ran.stderr
    assert verify(cache, "--no-verify-signatures").code == 0
    assert run("verify", "image.tar", "--store", cache.url).code == 0


def test_many_unsigned_paths_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = Cache(tmp_path / "cache")
    paths = [str(cache.add(f"p{number}-1", {b"x": File(b"x")})) for number in range(13)]
    words = [word for path in paths for word in ("--closure", path)]
    options = ["--store", cache.url, "--trusted-key", str(KEY.public)]
    assert run("build", "-t", "x", *words, "-o", "image.tar", "--no-layer-cache", *options).code == 0
    lines = run("verify", "image.tar", "--store", cache.url).stdout.decode().splitlines()
    assert sum("expected a signature" in line for line in lines) == 10
    assert "3 more store paths without a trusted signature; --full lists them" in lines


def test_a_missing_path_is_an_error_of_the_store(cache: Cache) -> None:
    cache.narinfo_of(find(cache, "words")).unlink()
    ran = verify(cache)
    assert ran.code == 5
    assert "hint: name a store that has it with --store" in ran.stderr
    assert "not in the stores" in ran.stdout.decode()


def test_the_document_names_paths_keys_and_verdicts(cache: Cache) -> None:
    cache.sign(find(cache, "words"))
    ran = verify(cache, "--json")
    document = json.loads(ran.stdout)
    assert (ran.code, document["verified"], document["full"], document["requires_signatures"]) == (6, False, True, True)
    assert [layer["verdict"] for layer in document["layers"]][:2] == ["reproduced and signed", "reproduced"]
    (signed,), (unsigned,) = (layer["signatures"] for layer in document["layers"][:2])
    assert (unsigned["key"], signed["key"], signed["reason"]) == (None, KEY.name, "")
    assert document["verdicts"][0] == {"verdict": "reproduced and signed", "layer_count": 3}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with serve_open_registry(tmp_path, monkeypatch) as server:
        yield server


def test_the_summary_says_how_little_of_a_reference_is_read(cache: Cache, registry: MemoryRegistry) -> None:
    reference = f"{registry.host}/me/app:1"
    assert run("push", "image.tar", "--to", reference, "--layer-compression", "none").code == 0
    words = ["verify", reference, "--store", cache.url, "--trusted-key", str(KEY.public)]
    assert run(*words).stdout.decode().splitlines()[-1].endswith("  4.0 KiB of 50.0 KiB read")
    assert run(*words, "--full").stdout.decode().splitlines()[-1].endswith("1 not of store paths")
