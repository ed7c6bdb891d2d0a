"""The public functions return their warnings, and every verb prints them or puts them into its JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.support.embedded_store import KEY, ROOT, fetch_example
from tests.support.fake_nix_store import run
from tests.support.paths import EXAMPLES

import lamina
from lamina.api.results import ListResult
from lamina.inputs.arguments import StoreArguments

WARNING = "the next store is asked"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The URLs of two caches of the same paths. All narinfos of the first are broken, which causes warnings."""
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(EXAMPLES / "cache", broken)
    for file in broken.glob("*.narinfo"):
        file.chmod(0o644)
        file.write_text("broken")
    return f"file://{broken}", f"file://{EXAMPLES}/cache"


VERBS = {
    "fetch": ["store", "fetch", ROOT],
    "push": ["store", "push", ROOT, "--to", "file:///{here}/to"],
    "export": ["store", "export", ROOT, "-o", "export"],
    "plan": ["plan", ROOT],
    "build": ["build", ROOT, "-o", "image.tar"],
    "stream": ["stream", ROOT],
    "script": ["script", ROOT, "-o", "script"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_prints_warnings_once(verb: str, sources: tuple[str, str], tmp_path: Path) -> None:
    words = [word.replace("/{here}", str(tmp_path)) for word in VERBS[verb]]
    options = [word for source in sources for word in ("--store", source)] + ["--trusted-key", KEY]
    ran = run(*words, *options)
    assert ran.code == 0, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.startswith("lamina: warning: ")]
    assert any(WARNING in line for line in lines), ran.stderr
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_warnings_in_its_json(verb: str, sources: tuple[str, str], tmp_path: Path) -> None:
    words = [word.replace("/{here}", str(tmp_path)) for word in VERBS[verb]]
    options = [word for source in sources for word in ("--store", source)] + ["--trusted-key", KEY]
    ran = run(*words, *options, "--json")
    assert ran.code == 0, ran.stderr
    text = ran.stderr if verb == "stream" else ran.stdout.decode()
    assert any(WARNING in warning for warning in json.loads(text)["warnings"])
    assert verb == "stream" or not ran.stderr
    quiet = run(*words, *options, "--quiet")
    assert (quiet.code, quiet.stderr) == (0, "")


def test_every_json_document_has_warnings(sources: tuple[str, str], tmp_path: Path) -> None:
    fetch_example(tmp_path / "store")
    run("store", "key", "generate", "a-1", "-o", "key")
    (tmp_path / "file").write_text("x")
    assert run("build", ROOT, "--store", "store", "-o", "image.tar").code == 0
    assert run("store", "export", ROOT, "--store", "store", "-o", "export").code == 0
    for words in (
        ["store", "add", "file", "--to", "store"],
        ["store", "ls", "--store", "store"],
        ["store", "info", ROOT, "--store", "store"],
        ["store", "sign", "--all", "--key", "key", "--store", "store"],
        ["store", "verify", "--store", "store"],
        ["store", "gc", ROOT, "--dry-run", "--store", "store"],
        ["store", "import", "export", "--to", "other"],
        ["store", "key", "public", "key"],
        ["inspect", "image.tar"],
        ["merge", "image.tar", "-o", "merged.tar"],
        ["export", "image.tar", "-o", "root.tar"],
    ):
        ran = run(*words, "--json")
        assert ran.code == 0, (words, ran.stderr)
        assert json.loads(ran.stdout)["warnings"] == [], words


def test_results_have_warnings_in_python(sources: tuple[str, str], tmp_path: Path) -> None:
    where: StoreArguments = {"store": list(sources), "trusted_keys": [KEY]}
    pushed = lamina.push_paths([ROOT], to=f"file://{tmp_path}/to", embedded_store=tmp_path / "1", **where)
    exported = lamina.export_paths([ROOT], output=tmp_path / "export", embedded_store=tmp_path / "2", **where)
    for warnings in (pushed.warnings, exported.warnings):
        assert any(WARNING in warning for warning in warnings)
    assert exported == tuple(exported)
    imported = lamina.import_paths(tmp_path / "export", embedded_store=tmp_path / "other")
    assert [one.info.path for one in imported] == list(exported)
    assert imported.warnings == ()


def test_a_list_result_is_a_tuple() -> None:
    result = ListResult(iter([1, 2]), ["odd"])
    assert tuple(result) == (1, 2)
    assert result.warnings == ("odd",)
    assert ListResult([]).warnings == ()
