"""``lamina plan``."""

import json
import re
from pathlib import Path

import pytest
from tests.support.embedded_store import ROOT, fetch_example
from tests.support.fake_nix_store import run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with an embedded store."""
    monkeypatch.chdir(tmp_path)
    fetch_example(Path("store"))
    return tmp_path


def test_a_page_is_written_beside_the_table() -> None:
    without = run("plan", ROOT, "--store", "store")
    ran = run("plan", ROOT, "--store", "store", "--html", "plan.html")
    assert (ran.code, ran.stdout, ran.stderr) == (0, without.stdout, "")
    page = Path("plan.html").read_text()
    assert "<h1>hello</h1>" in page
    assert f'"{ROOT}"' in page
    assert page.count('class="treemap"') == 1


def test_the_page_compares_two_strategies() -> None:
    Path("two.json").write_text('[["split_every", 2]]')
    options = ("--store", "store", "--max-layers", "4", "--html", "plan.html", "--compare")
    assert run("plan", ROOT, *options, "popularity").code == 0
    page = Path("plan.html").read_text()
    assert re.findall('class="treemap" role="group" aria-label="(.*?)"', page) == [
        "Layers planned by cost",
        "Layers planned by popularity",
    ]
    assert run("plan", ROOT, *options, "two.json").code == 0
    assert "<dd>pipeline, 3 layers</dd>" in Path("plan.html").read_text()


def test_the_table_has_the_rates_of_layers_if_the_strategy_has_them() -> None:
    assert b"RATE" not in run("plan", ROOT, "--store", "store", "--layering", "auto").stdout
    ran = run("plan", ROOT, "--store", "store", "--max-layers", "3")
    head, *rows, _ = ran.stdout.decode().splitlines()
    assert head.split() == ["LAYER", "SIZE", "RATE", "PATHS", "WHY"]
    document = json.loads(run("plan", ROOT, "--store", "store", "--json").stdout)
    assert all(re.search(r"  +\d+\.\d %  ", row) for row in rows)
    assert all(0 < layer["rate"] <= 1 for layer in document["layers"])


def test_json_is_the_same_with_a_page() -> None:
    ran = run("plan", ROOT, "--store", "store", "--html", "plan.html", "--json")
    assert json.loads(ran.stdout) == json.loads(run("plan", ROOT, "--store", "store", "--json").stdout)
    assert Path("plan.html").exists()


def test_a_warning_of_the_compared_plan_is_printed_once() -> None:
    Path("odd.json").write_text(f'[["remove_paths", ["{"/nix/store/" + "0" * 32 + "-x"}"]], ["split_every", 9]]')
    ran = run("plan", ROOT, "--store", "store", "--html", "plan.html", "--compare", "odd.json")
    assert ran.stderr.count("lamina: warning: ") == 1
    both = ("--layering", "odd.json", "--compare", "odd.json")
    assert run("plan", ROOT, "--store", "store", "--html", "plan.html", *both).stderr == ran.stderr


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--html", "-"], "--html: got '-', expected the name of a file"),
        (["--html", "folder/"], "--html: got 'folder/', expected the name of a file"),
        (["--compare", "auto"], "--compare: got no --html, expected --html FILE"),
        (["--html", "x.html", "--compare", "popular"], "--compare: got 'popular', expected one of"),
    ],
)
def test_a_wrong_option_is_an_error_before_anything_is_planned(options: list[str], error: str) -> None:
    ran = run("plan", "no-such-package", "--store", "store", *options)
    assert ran.code == 2
    assert error in ran.stderr


def test_a_page_shows_one_platform() -> None:
    platforms = ("--platform", "linux/amd64", "--platform", "linux/arm64")
    ran = run("plan", "hello", "--store", "store", "--html", "x.html", *platforms)
    assert (ran.code, ran.error) == (
        2,
        "--html: got 2 platforms, expected one platform, the plan of which the page shows",
    )
    assert run("plan", "hello", "--store", "store", "--html", "x.html", *platforms[:2]).code == 0


def test_a_page_that_cannot_be_written_is_an_error() -> None:
    ran = run("plan", ROOT, "--store", "store", "--html", "missing/plan.html")
    assert (ran.code, ran.stdout) == (10, b"")
    assert not Path("missing").exists()
