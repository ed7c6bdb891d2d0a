"""What was decided for an image and why: ``Stream.decisions``, and the option ``--verbose``."""

from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, run

import lamina
from lamina.core.closure import Closure


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    made, _ = example(tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    return made


def test_what_no_argument_says_is_told_with_its_reason(store: FakeStore) -> None:
    FakeStore(Path("other"))
    with lamina.stream_layered_image(contents=["hello"], store=[store.root, "other"], jobs=3) as stream:
        found = stream.draft.settings.config.architecture
        assert stream.decisions == (
            f"stores: {store.root}, then other",
            "layers: 4 of 4 store paths, by cost, with at most 100 in the image",
            "name: hello, the package name of the first ROOT",
            "tag: the first 32 hex digits of the image ID",
            f"architecture: {found}, that of the first program or of the base image, else this machine's",
            "layer cache: none",
            "processors: 3",
        )


def test_what_an_argument_says_is_told_as_given(store: FakeStore) -> None:
    arguments = {"name": "x", "tag": "1", "architecture": "arm64", "layer_cache": "layers"}
    with lamina.stream_layered_image(contents=["hello"], store=store.root, **arguments) as stream:  # type: ignore[arg-type]
        decisions = stream.decisions
    assert {"name: x, as given", "tag: 1, as given", "architecture: arm64, as given", "layer cache: layers"} < {
        *decisions
    }


def test_a_shared_layer_cache_is_told_without_its_settings(store: FakeStore, tmp_path: Path) -> None:
    arguments = {"contents": ["hello"], "store": store.root, "layer_cache": "s3://b/x?secret-key=hunter2"}
    local = tmp_path / "local"
    for more, expected in (
        ({}, "s3://b/x"),
        ({"local_layer_cache": local}, f"s3://b/x, behind {local}"),
        ({"offline": True, "local_layer_cache": local}, "s3://b/x, not asked because of --offline"),
    ):
        with lamina.stream_layered_image(**arguments, **more) as stream:  # type: ignore[arg-type]
            assert f"layer cache: {expected}" in stream.decisions


def test_the_layering_is_told(store: FakeStore) -> None:
    pipeline = lamina.plan_layered_image(contents=["hello"], store=store.root, layering=[["split_every", 2]])
    assert pipeline.decisions[1] == "layers: 2 of 4 store paths, by a pipeline"
    own = lamina.plan_layered_image(contents=["hello"], store=store.root, layering=_one_layer)
    assert own.decisions[1] == "layers: 1 of 4 store paths, by a function of the caller"


def _one_layer(closure: Closure, _max_layers: int) -> list[lamina.LayerPlan]:
    return [lamina.LayerPlan(tuple(info.path for info in closure))]


def test_a_store_of_the_caller_is_told(store: FakeStore) -> None:
    planned = lamina.plan_layered_image(contents=["hello"], store=store.root)
    assert planned.decisions[0] == f"stores: {store.root}"


def test_the_sandbox_of_scripts_is_told(store: FakeStore) -> None:
    ran = run("stream", "hello", "--store", store.root, "-v", "--extra-commands", "true", "--no-sandbox")
    assert ran.code == 0, ran.stderr
    assert "lamina: info: scripts: ran in no sandbox\n" in ran.stderr


@pytest.mark.parametrize("verb", [("plan",), ("stream",), ("build", "-o", "x.tar"), ("script", "-o", "x")])
def test_the_option_prints_decisions_before_anything_else(store: FakeStore, verb: tuple[str, ...]) -> None:
    words = (*verb, "hello", "--store", str(store.root))
    plain, verbose = run(*words), run(*words, "-v")
    assert (verbose.code, verbose.stdout) == (0, plain.stdout)
    assert verbose.stderr.startswith(f"lamina: info: stores: {store.root}\nlamina: info: layers: 4 of 4 store paths")
    assert "info" not in plain.stderr


@pytest.mark.parametrize("option", ["-q", "--json"])
def test_a_silent_run_prints_no_decisions(store: FakeStore, option: str) -> None:
    assert "info" not in run("plan", "hello", "--store", store.root, "-v", option).stderr


@pytest.mark.parametrize("words", [("store", "ls"), ("store", "gc", "--all", "--dry-run"), ("store", "verify")])
def test_verbs_of_the_store_tell_which_folder_they_use(store: FakeStore, words: tuple[str, ...]) -> None:
    assert run("store", "add", "root", "--name", "x-1", "--to", "kept").code == 0
    ran = run(*words, "--store", "kept", "-v")
    assert ran.stderr.startswith("lamina: info: store: kept\n")
