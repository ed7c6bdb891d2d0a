"""Errors name an argument as the user wrote it: an option, or a key of a spec file."""

from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    made, _ = example(tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    return made


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--with", "cert"], "--with: got 'cert', expected some of nss, certs, sh, env, tmp"),
        (["--ledger", ""], "--ledger: got '', expected the name of a file or folder"),
        (["--layering", "best"], "--layering: got 'best', expected one of auto, popularity, "),
        (["--inherit", "Cmd,Usr"], "--inherit: got 'Usr', expected some of "),
        (["--mtime", "x"], "--mtime: got 'x', expected ISO-8601 "),
        (["--jobs", "0"], "--jobs: got 0, expected a number from 1 to 256"),
        (["--layer-compression", "x"], "--layer-compression: got 'x', expected none, "),
        (["--symlink", "x"], "--symlink: got 'x', expected PATH=TARGET"),
        (["--dir", "/d", "--xattr", "x"], "--xattr: got 'x', expected PATH:NAME=HEX"),
        (["--expose", "x"], "--expose: got 'x', expected N, "),
        (["--label", "x"], "--label: got 'x', expected K=V"),
    ],
)
def test_an_option_is_named(store: FakeStore, words: list[str], error: str) -> None:
    ran = run("stream", "hello", "--store", store.root, *words)
    assert ran.code == 2
    assert ran.error.startswith(error)


@pytest.mark.parametrize("key", ["with", "extras"])
def test_the_key_of_a_spec_file_is_named(store: FakeStore, key: str) -> None:
    Path("lamina.toml").write_text(f'[x]\ncontents = ["hello"]\n{key} = "cert"\n', encoding="utf-8")
    ran = run("stream", "--spec", "lamina.toml", "--store", store.root)
    assert (ran.code, ran.error) == (2, f"{key}: got 'cert', expected some of nss, certs, sh, env, tmp")
    assert "hint: did you mean certs?" in ran.stderr


def test_an_option_replaces_the_key(store: FakeStore) -> None:
    Path("lamina.toml").write_text('[x]\ncontents = ["hello"]\nwith = "nss"\n', encoding="utf-8")
    ran = run("stream", "--spec", "lamina.toml", "--store", store.root, "--with", "cert")
    assert ran.error.startswith("--with: ")
