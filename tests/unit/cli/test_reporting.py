"""Summaries and JSON documents as they are printed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.cli import reporting
from lamina.cli.options import ReportOptions
from lamina.cli.reporting import format_count, print_image_summary, print_json, print_summary
from lamina.core.names import Digest, ImageReference
from lamina.images.blob_totals import BlobTotal, UpdateTotals
from lamina.images.image import BuildResult
from lamina.layers.layer import Layer
from lamina.system.transfer import BlobInfo

MIB = 1 << 20
DIFF_ID, BLOB = Digest(bytes([1] * 32)), Digest(bytes([2] * 32))


def make_result(file: str | None, *, written: int = 3) -> BuildResult:
    """Return an image of 100 layers of 9 MiB, compressed to 2 MiB, of which ``written`` were written."""
    return BuildResult(
        Digest(bytes.fromhex("3f2ab01c94de" + "00" * 26)),
        ImageReference("hello", "1.4"),
        (Layer(DIFF_ID, 9 * MIB, ()),) * 100,
        "linux/amd64",
        (BlobInfo(BLOB, 2 * MIB),) * 100,
        written,
        written * 2 * MIB,
        file,
        0.94,
    )


def report(progress: str = "lines", *, quiet: bool = False) -> ReportOptions:
    return ReportOptions(progress, quiet, as_json=False, debug=False)


def test_the_summary_of_a_layout_says_which_blobs_were_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    print_image_summary(make_result(str(tmp_path)), report())
    assert capsys.readouterr().err == (
        "hello:1.4  sha256:3f2ab01c94de  linux/amd64  100 layers  900 MiB  3 of 100 blobs written, 6.0 MiB  0.9 s\n"
    )
    print_image_summary(make_result(str(tmp_path), written=0), report())
    assert "  900 MiB  0 of 100 blobs written  0.9 s\n" in capsys.readouterr().err


@pytest.mark.parametrize("file", [None, "hello.tar.gz"])
def test_the_summary_of_an_archive_says_how_large_it_is(capsys: pytest.CaptureFixture[str], file: str | None) -> None:
    print_image_summary(make_result(file), report())
    assert "  900 MiB  6.0 MiB written  0.9 s\n" in capsys.readouterr().err


def test_the_summary_says_what_an_update_from_the_image_before_moves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    update = UpdateTotals(BlobTotal(97, 880 * MIB), BlobTotal(1, 6 * MIB), BlobTotal(2, 7 * MIB))
    print_image_summary(replace(make_result(str(tmp_path)), update=update), report())
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "update of hello:1.4  1 blob to send, 6.0 MiB  97 kept, 880 MiB  2 gone, 7.0 MiB"


def test_the_summary_of_the_same_image_again_has_no_update(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    update = UpdateTotals(BlobTotal(100, 880 * MIB), BlobTotal(0, 0), BlobTotal(0, 0))
    print_image_summary(replace(make_result(str(tmp_path), written=0), update=update), report())
    assert "update" not in capsys.readouterr().err


def test_there_is_no_summary_for_the_quiet_and_after_the_lines_of_nixpkgs(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(["done"], report(quiet=True))
    print_summary(["done"], report("nix"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (None, ["hello:1.4  sha256:3f2a  100 layers  9 MiB written  0.9 s"]),
        (56, ["hello:1.4  sha256:3f2a  100 layers  9 MiB written  0.9 s"]),
        (55, ["hello:1.4  sha256:3f2a  100 layers", "  9 MiB written  0.9 s"]),
        (24, ["hello:1.4  sha256:3f2a", "  100 layers", "  9 MiB written  0.9 s"]),
        (5, ["hello:1.4", "  sha256:3f2a", "  100 layers", "  9 MiB written", "  0.9 s"]),
    ],
)
def test_a_summary_is_broken_between_its_facts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int | None, lines: list[str]
) -> None:
    monkeypatch.setattr(reporting, "_find_width", lambda: width)
    print_summary(["hello:1.4", "sha256:3f2a", "100 layers"], report(), ["9 MiB written", "0.9 s"])
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("to_stderr", [False, True])
def test_a_document_begins_with_its_version_and_shows_no_secret(
    capsys: pytest.CaptureFixture[str], to_stderr: bool
) -> None:
    warnings = ["from https://user:hunter2@host/x"]
    inner = {"images": [{"warnings": warnings}], "check": {"warnings": warnings}}
    print_json({"a": 1, **inner, "warnings": warnings}, to_stderr=to_stderr)
    captured = capsys.readouterr()
    text = captured.err if to_stderr else captured.out
    document = json.loads(text)
    assert list(document) == ["version", "a", "images", "check", "warnings"]
    assert "hunter2" not in text
    assert (captured.out if to_stderr else captured.err) == ""


def test_a_count_has_the_plural_of_its_noun() -> None:
    counted = [format_count(count, noun) for noun in ("layer", "entry") for count in (0, 1, 2)]
    assert counted == ["0 layers", "1 layer", "2 layers", "0 entries", "1 entry", "2 entries"]
