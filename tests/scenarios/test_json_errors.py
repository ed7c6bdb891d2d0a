"""Under ``--json`` an error is one document on stderr, whatever the verb, and stdout stays empty."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli_parameters import leaf_commands
from tests.support.fake_nix_store import example, run
from tests.support.json_schemas import check_document

from lamina.cli.group import group

VERBS = [names for names, _ in leaf_commands(group)]
# Options and arguments that a verb needs before it looks at its values.
_MORE: dict[str, list[str]] = {
    "stream": ["--store", "none"],
    "build": ["-o", "x.tar", "--store", "none"],
    "script": ["-o", "x", "--store", "none"],
    "plan": ["--store", "none"],
    "inspect": ["none.tar"],
    "merge": ["none.tar", "-o", "x.tar"],
    "export": ["none.tar", "-o", "x.tar"],
    "store fetch": ["none", "--offline", "--store", "none"],
    "store info": ["none", "--store", "none"],
}


def _run(*arguments: str) -> tuple[int, Any]:
    ran = run(*arguments, "--json")
    assert ran.stdout == b""
    document = json.loads(ran.stderr)
    check_document("error", document)
    assert document["error"]["exit_code"] == ran.code
    return ran.code, document["error"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_wrong_option_is_a_document_for_every_verb(words: tuple[str, ...]) -> None:
    code, error = _run(*words, "--no-such-option")
    assert (code, error["kind"]) == (2, "InvalidArgument")
    assert "--no-such-option" in error["got"]


@pytest.mark.parametrize("words", _MORE)
def test_an_error_of_the_work_is_a_document(words: str) -> None:
    code, error = _run(*words.split(), *_MORE[words])
    assert code in (2, 5, 11)
    assert error["message"] == f"{error['subject']}: got {error['got']}, expected {error['expected']}"


def test_a_wrong_verb_is_a_document() -> None:
    assert _run("strem")[1]["kind"] == "InvalidArgument"


def test_a_value_after_two_dashes_is_no_option(tmp_path: Path) -> None:
    ran = run("inspect", "--", "--json")
    assert ran.stderr.startswith("lamina: --json: got ")


def test_a_failed_script_is_a_document_with_its_output(tmp_path: Path) -> None:
    store, _ = example(tmp_path / "root")
    words = ["--no-sandbox", "--extra-commands", "echo no such luck; exit 3"]
    code, error = _run("build", "hello", "--store", str(store.root), "-o", "x.tar", *words)
    assert (code, error["kind"], error["output"]) == (9, "ScriptError", "no such luck\n")


def test_a_document_shows_no_secret() -> None:
    _, error = _run("plan", "hello", "--store", "s3://me:hunter2@bucket:x")
    assert "hunter2" not in json.dumps(error)


_INTERRUPT = """
import signal, sys
from lamina.cli import plan
from lamina.cli.main import main
plan.command.callback = lambda **_: signal.raise_signal(signal.SIGINT)
sys.argv = ["lamina", "plan", "--json"]
main()
"""


def test_an_interrupted_run_is_a_document() -> None:

    done = subprocess.run([sys.executable, "-c", _INTERRUPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGINT, "")
    assert json.loads(done.stderr)["error"]["kind"] == "Interrupted"
