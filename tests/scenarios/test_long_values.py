"""A message repeats only a part of a long value, wherever the value was given."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import click
import pytest
from tests.support.cli_parameters import PARAMETERS, arguments
from tests.support.examples import scale
from tests.support.fake_nix_store import example, run

# One attack in many forms; the unit tests of each room have the rules.
pytestmark = pytest.mark.integration

LONG = {
    "a long word": "q" * 100_000,
    "many words": "q " * 50_000,
    "a long path": "/q" * 1_500,
    "a long name": "q" * 300,
    "a long URL": "https://" + "q" * 50_000 + "/q",
    "many values": "q," * 50_000,
    "a list": "[" + ", ".join(["'q'"] * 10_000) + "]",
    "a setting": "a=" + "q" * 50_000,
}
_MAX_REPEATED = 600


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store that no test changes."""
    folder = tmp_path_factory.mktemp("store") / "root"
    example(folder)
    return folder


@pytest.mark.parametrize(("names", "option", "parameter"), PARAMETERS)
def test_no_parameter_of_the_command_line_is_repeated_in_full(
    names: tuple[str, ...],
    option: str,
    parameter: click.Parameter,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "root").symlink_to(store)
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    draw = Random(" ".join((*names, option)))
    for number, kind in enumerate(LONG if os.environ.get("LAMINA_ALL") else draw.sample(sorted(LONG), scale(5))):
        value = LONG[kind]
        ran = run(*arguments(names, option, value, tmp_path), *(["--debug"] if number % 2 else []))
        assert ran.code in (0, 2, 3, 4, 5, 6, 10, 11), (kind, ran.stderr[:2000])
        assert ran.stderr.count("q") < _MAX_REPEATED, (kind, ran.stderr[:2000])
        assert max(map(len, ran.stderr.splitlines() or [""])) < 1100, kind
