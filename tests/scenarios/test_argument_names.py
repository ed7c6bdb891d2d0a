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
        (["--layering", "best"], "--layering: got 'best', expected one of auto, cost, popularity, shared, "),
        (["--inherit", "Cmd,Usr"], "--inherit: got 'Usr', expected some of "),
        (["--mtime", "x"], "--mtime: got 'x', expected ISO-8601 "),
        (["--jobs", "0"], "--jobs: got 0, expected a number from 1 to 256"),
        (["--layer-compression", "x"], "--layer-compression: got 'x', expected none, "),
        (["--symlink", "x"], "--symlink: got 'x', expected PATH=TARGET"),
        (["--dir", "/d", "--xattr", "x"], "--xattr: got 'x', expected PATH:NAME=HEX"),
        (["--expose", "x"], "--expose: got 'x', expected N, "),
        (["--label", "x"], "--label: got 'x', expected K=V"),
        (["--created", "x"], "--created: got 'x', expected ISO-8601 "),
        (["--add-user", "bob"], "--add-user: got 'bob', expected NAME:UID"),
        (["--cmd", "'x"], "--cmd: got "),
        (["--file", "foo"], "--file: got 'foo', expected PATH=SOURCE"),
        (["--dir", "/x:9"], "--dir: got '/x:9', expected :MODE or "),
        (["--dir", "x"], "--dir: got 'x', expected an absolute path "),
        (["--trusted-key", "foo"], "--trusted-key: got an invalid key named 'foo', "),
        (["--time-limit", "0"], "--time-limit: got 0.0, expected a number of seconds, "),
        (["--uid", "-1"], "--uid: got -1, expected a number from 0 "),
        (["--name", "a//b"], "--name: got 'a//b', expected "),
        (["--store", ""], "--store: got '', expected the name of a file or folder"),
        (["--spec", ""], "--spec: got '', expected the name of a file or folder"),
        ([""], "ROOT: got '', expected a name or a path"),
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
    assert (ran.code, ran.error) == (2, f"lamina.toml#x: {key}: got 'cert', expected some of nss, certs, sh, env, tmp")
    assert "hint: did you mean certs?" in ran.stderr


def test_the_table_with_the_mistake_is_named_before_any_image_is_built(store: FakeStore) -> None:
    good = f'[a]\ncontents = ["hello"]\nstore = "{store.root}"\n'
    Path("lamina.toml").write_text(f'{good}[b]\ncontents = ["hello"]\nconfig.Cmd = "x"\n', encoding="utf-8")
    ran = run("build", "--spec", "lamina.toml", "-o", "images/")
    assert (ran.code, ran.error.partition(", ")[0]) == (2, "lamina.toml#b: config.Cmd: got 'x'")
    assert not Path("images").exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["store", "fetch", "x", "--jobs", "0"], "--jobs: got 0, expected a number from 1 to 256"),
        (
            ["store", "push", "x", "--to", "file:///x", "--compression", "lz4"],
            "--compression: got 'lz4', expected none",
        ),
        (["store", "fetch", "x", "--trusted-key", "foo"], "--trusted-key: got an invalid key named 'foo', "),
        (["layout", "prune", "x", "--keep-last", "0"], "--keep-last: got 0, expected a whole number, at least 1"),
        (["cache", "prune", "--older-than", "-1"], "--older-than: got -1, expected a whole number, at least 0"),
        (["cache", "prune", "--max-size", "x"], "--max-size: got 'x', expected a number of bytes, or a size "),
        (["inspect", "x", "--platform", "sparc"], "--platform: got 'sparc', expected "),
        (["build", "hello", "-o", ""], "--output: got '', expected the name of a file or folder"),
        (["inspect", ""], "IMAGE[#NAME]: got '', expected a name or a path"),
        (["store", "ls", "--store", ""], "--store: got '', expected the name of a file or folder"),
    ],
)
def test_the_options_of_other_commands_are_named(store: FakeStore, words: list[str], error: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert ran.error.startswith(error)


def test_an_option_replaces_the_key(store: FakeStore) -> None:
    Path("lamina.toml").write_text('[x]\ncontents = ["hello"]\nwith = "nss"\n', encoding="utf-8")
    ran = run("stream", "--spec", "lamina.toml", "--store", store.root, "--with", "cert")
    assert ran.error.startswith("--with: ")
