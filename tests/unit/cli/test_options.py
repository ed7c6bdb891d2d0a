"""Options that were renamed; the old names still work."""

from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, call, example, run

import lamina


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    made, _ = example(tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    return made


def test_the_old_names_of_the_layer_cache_options_mean_the_same(store: FakeStore) -> None:
    known = run("stream", "hello", "--store", store.root, "--ledger", "mine")
    assert known.code == 0, known.stderr
    assert Path("mine").is_file()
    without = run("stream", "hello", "--store", store.root, "--no-ledger", "--layer-cache", "other")
    assert without.stdout == known.stdout
    assert not Path("other").exists()
    checked = call("store", "verify", "--store", store.root, "--ledger", "mine")
    assert (checked.code, checked.stdout) == (0, b"4 layers: 4 as they were, 0 damaged, 0 not here\n")


def test_both_names_at_once_are_refused(store: FakeStore) -> None:
    ran = run("stream", "hello", "--store", store.root, "--ledger", "mine", "--layer-cache", "other")
    assert ran.code == 2
    assert ran.error == "--ledger: got it and --layer-cache, expected one: it is the old name of the same option"


@pytest.mark.parametrize("command", [("stream",), ("store", "verify")])
def test_the_help_has_only_the_new_names(command: tuple[str, ...]) -> None:
    text = run(*command, "--help").stdout.decode()
    assert "--layer-cache" in text
    assert "ledger" not in text


def test_python_and_spec_files_may_use_the_old_name_of_the_argument(store: FakeStore) -> None:
    lamina.stream_layered_image(name="x", contents=["hello"], store=store.root, ledger="from-python")  # type: ignore[call-arg]
    Path("spec.toml").write_text('[x]\ncontents = ["hello"]\nledger = "from-file"\n', encoding="utf-8")
    assert run("stream", "--spec", "spec.toml", "--store", store.root).code == 0
    with pytest.raises(lamina.InvalidArgument, match=r"^ledger: got it and layer_cache, expected one"):
        lamina.stream_layered_image(name="x", ledger="a", layer_cache="b")  # type: ignore[call-arg]
