"""``lamina store import`` as its users see it."""

from pathlib import Path

import pytest
from tests.support.embedded_store import CLOSURE, check, fetch_example
from tests.support.fake_nix_store import run

import lamina


@pytest.mark.parametrize("option", ["--to", "--store"])
def test_the_destination_has_an_old_name(option: str, tmp_path: Path) -> None:
    fetch_example(tmp_path / "store")
    lamina.export_paths(all_paths=True, output=tmp_path / "export", embedded_store=tmp_path / "store")
    ran = run("store", "import", tmp_path / "export", option, tmp_path / "other")
    assert ran.code == 0, ran.stderr
    assert len(check(tmp_path / "other")) >= CLOSURE
    assert "--store" not in run("store", "import", "--help").stdout.decode()


def test_the_destination_is_named_once(tmp_path: Path) -> None:
    ran = run("store", "import", "x", "--to", tmp_path / "a", "--store", tmp_path / "b")
    assert (ran.code, ran.error) == (
        2,
        "--store: got it and --to, expected only one of them: it is the old name of the other",
    )
