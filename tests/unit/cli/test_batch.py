"""The command line of ``lamina batch``, and the end of what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, run

from lamina.cli.batch import _print_result
from lamina.cli.options import ReportOptions
from lamina.core.names import Digest
from lamina.errors import NotFound
from lamina.fleet.results import BatchImage, BatchResult


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FakeStore(tmp_path / "root")
    for name in ("web", "api"):
        store.add(f"{name}-1", {name: b"x"})
    Path("fleet.toml").write_text('[web]\ncontents = ["web"]\ntag = "1"\n[api]\ncontents = ["api"]\ntag = "1"\n')
    Path("twice.toml").write_text('[other]\nname = "api"\ntag = "1"\ncontents = ["api"]\n')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fleet.toml", "batch: got neither of --to and -o, expected one of them"),
        ("fleet.toml -o images/ --to host/x", "batch: got --to and -o"),
        ("fleet.toml -o images.tar", "-o: got 'images.tar', expected a folder"),
        ("fleet.toml fleet.toml#web twice.toml -o images/", "api:1, as image"),
        ("fleet.toml -o images/ --fail-fast --keep-going", "--fail-fast: got it and --keep-going"),
        ("fleet.toml#job -o images/", "got image 'job', expected one of web, api"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(words: str, message: str) -> None:
    ran = run("batch", *words.split(), "--store", "root")
    assert ran.code == 2
    assert message in ran.stderr
    assert not Path("images").exists()


def test_of_many_images_that_failed_the_first_hundred_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    failed = tuple(BatchImage(f"a{number}", NotFound(f"image a{number}: no path")) for number in range(102))
    done = BatchImage("web", reference="host/web:1", digest=Digest(bytes(32)))
    _print_result(BatchResult((*failed, done), (), 1.0, "2 workers"), ReportOptions(), has_references=True)
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[0].startswith("1 of 103 images  0 layers  0 made  0 reused")
    assert lines[1:3] == ["lamina: image a0: no path", "lamina: image a1: no path"]
    assert lines[-2:] == ["lamina: image a99: no path", "lamina: 2 more images failed; --json lists them"]
    assert printed.out == f"host/web:1@sha256:{'0' * 64}\n"


def test_a_warning_names_its_image_and_is_printed_once_for_many(capsys: pytest.CaptureFixture[str]) -> None:
    warnings = {"a": ("of all", "shared"), "b": ("shared", "own"), "c": ("shared",)}
    images = tuple(BatchImage(name, warnings=texts) for name, texts in warnings.items())
    _print_result(BatchResult(images, (), 1.0, "2 workers", ("of all",)), ReportOptions(), has_references=False)
    assert capsys.readouterr().err.splitlines()[:-1] == [
        "lamina: warning: of all",
        "lamina: warning: image a and 2 more images: shared",
        "lamina: warning: image b: own",
    ]


def test_of_many_warnings_about_images_the_first_hundred_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    images = tuple(BatchImage(f"a{number}", warnings=(f"text {number}",)) for number in range(103))
    _print_result(BatchResult(images, (), 1.0, "2 workers"), ReportOptions(), has_references=False)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 102
    assert lines[-2] == "lamina: warning: 3 more warnings about images; --json lists them"
