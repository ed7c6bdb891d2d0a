"""Options that were renamed; the old names still work."""

import io
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, call, example, run

import lamina


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    made, _ = example(tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return made


def test_the_old_names_of_the_layer_cache_options_mean_the_same(store: FakeStore) -> None:
    known = run("stream", "hello", "--store", store.root, "--ledger", "mine")
    assert known.code == 0, known.stderr
    assert Path("mine").is_file()
    without = run("stream", "hello", "--store", store.root, "--no-ledger", "--layer-cache", "other")
    assert without.stdout == known.stdout
    assert not Path("other").exists()
    checked = call("store", "verify", "--store", store.root, "--ledger", "mine")
    assert (checked.code, checked.stdout) == (0, b"4 layers: 4 intact, 0 damaged, 0 absent\n")


def test_both_names_at_once_are_refused(store: FakeStore) -> None:
    ran = run("stream", "hello", "--store", store.root, "--ledger", "mine", "--layer-cache", "other")
    assert ran.code == 2
    assert ran.error == "--ledger: got it and --layer-cache, expected only one of them: it is the old name of the other"


@pytest.mark.parametrize("command", [("stream",), ("store", "verify")])
def test_the_help_has_only_the_new_names(command: tuple[str, ...]) -> None:
    text = run(*command, "--help").stdout.decode()
    assert "--layer-cache" in text
    assert "ledger" not in text


def test_only_the_default_layer_cache_removes_the_file_with_the_old_name(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("cache").absolute()))
    own, default = Path("ledger.sqlite"), Path("cache/lamina/ledger.sqlite")
    for file in (own, default):
        assert run("stream", "hello", "--store", store.root, "--layer-cache", file).code == 0
    assert run("stream", "hello", "--store", store.root, "--layer-cache", "layer-cache.sqlite").code == 0
    assert own.exists()
    assert default.exists()
    assert run("stream", "hello", "--store", store.root).code == 0
    assert own.exists()
    assert {file.name for file in default.parent.iterdir()} == {"layer-cache.sqlite"}


def test_store_verify_refuses_both_names_before_it_verifies_anything(store: FakeStore) -> None:
    ran = run("store", "verify", "--store", store.root, "--ledger", "a", "--layer-cache", "b")
    assert (ran.code, ran.stdout) == (2, b"")


def test_a_wrong_option_is_not_answered_with_a_hidden_one(store: FakeStore) -> None:
    ran = run("stream", "hello", "--ledgr", "x")
    assert ran.code == 2
    assert "--ledger" not in ran.error


@pytest.mark.parametrize("key", ["ledger", "layer_cache", "layerCache"])
def test_a_spec_file_names_the_layer_cache_relative_to_itself(store: FakeStore, key: str) -> None:
    Path("folder").mkdir()
    Path("folder/spec.toml").write_text(f'[x]\ncontents = ["hello"]\n{key} = "from-file"\n', encoding="utf-8")
    arguments = ("stream", "--spec", "folder/spec.toml", "--store", store.root)
    assert run(*arguments, "--no-layer-cache").code == 0
    assert not Path("folder/from-file").exists()
    assert run(*arguments, "--layer-cache", "from-option").code == 0
    assert not Path("folder/from-file").exists()
    assert run(*arguments).code == 0
    assert Path("folder/from-file").is_file()


def test_python_takes_the_old_name_of_the_argument(store: FakeStore) -> None:
    made = lamina.stream_layered_image(name="x", contents=["hello"], store=store.root, ledger="file")  # type: ignore[call-arg]
    made.write_to(io.BytesIO())
    assert Path("file").is_file()
    with pytest.raises(lamina.InvalidArgument, match=r"^ledger: got it and layer_cache, expected only one"):
        lamina.stream_layered_image(name="x", ledger="a", layer_cache="b")  # type: ignore[call-arg]
