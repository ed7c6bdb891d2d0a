"""pyright, which shows types in VS Code, knows the type of every name that the package exports."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.integration


def run_pyright(*arguments: str) -> Any:
    # Without the variable, pyright would ask the network for a newer version.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


def test_the_examples_pass_strict_pyright() -> None:
    report = run_pyright()
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] >= 6


def test_every_exported_name_has_a_known_type() -> None:
    """The command line is no part of the library."""
    symbols = run_pyright("--verifytypes", "lamina", "--ignoreexternal")["typeCompleteness"]["symbols"]
    exported = [one for one in symbols if one["isExported"] and not one["name"].startswith("lamina.cli.")]
    assert [one["name"] for one in exported if one["isTypeAmbiguous"] or not one["isTypeKnown"]] == []
    names = {one["name"] for one in exported}
    assert {"lamina.errors.Error.hint", "lamina.api.signatures.stream_layered_image"} <= names
