"""The programs of ``examples/`` run as their first lines say, and use only public names."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from tests.support.example_store import CACHE, KEY, hello
from tests.support.paths import EXAMPLES

import lamina

PROGRAMS = sorted(file for file in EXAMPLES.glob("*.py") if file.name != "unpack_image.py")
STORE = ("--store", CACHE, "--trusted-key", KEY)


def run(program: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    runpy.run_path(str(EXAMPLES / program), run_name="__main__")


def find_id(file: str) -> str:
    (image,) = lamina.inspect(file)
    return image.id


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: file.name)
def test_an_example_uses_public_names_alone(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"^(?:import|from) lamina.*$", text, re.MULTILINE) == ["import lamina"]
    assert {*re.findall(r"\blamina\.(\w+)", text)} <= {*dir(lamina)}
    assert text.splitlines()[2].startswith(f"Usage: {file.name} ")


def test_the_page_of_the_examples_lists_every_program() -> None:
    listed = re.findall(r"^\| `(\w+\.py)`", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(file.name for file in EXAMPLES.glob("*.py"))


def test_an_image_is_streamed_into_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("stream_into_docker.py", str(hello()), "--engine", "tee copy.tar", *STORE, monkeypatch=monkeypatch)
    assert capsys.readouterr().out == f"hello:latest {find_id('copy.tar')}\n"


def test_a_command_that_fails_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the whole image before it fails, as an engine that refuses an image does."""
    with pytest.raises(Exception, match="returned non-zero exit status 3"):
        run(
            "stream_into_docker.py",
            *(str(hello()), "--engine", "sh -c 'cat >copy.tar; exit 3'"),
            *STORE,
            monkeypatch=monkeypatch,
        )


def test_an_image_is_built_with_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("build_with_progress.py", str(hello()), "hello.tar", *STORE, monkeypatch=monkeypatch)
    printed = capsys.readouterr()
    assert printed.out == f"{find_id('hello.tar')}\n"
    assert re.search(r"\rlayer 1 of 7: \S+, [0-9.]+ KiB, (packed|fetched)\n", printed.err)
    assert printed.err.splitlines()[-2].endswith("layer 7 of 7: customisation layer, 10.0 KiB, packed")


def test_a_plan_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("plan_table.py", str(hello()), "--max-layers", "4", *STORE, monkeypatch=monkeypatch)
    head, *rows, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["layer", "size", "store", "paths"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert re.fullmatch(r"\+[1-5]", rows[0].split()[-1])
    assert rows[-1].split()[-1] == "hello-1.0"
    assert total.split()[0] == "total"
    assert len({row.index("iB  ") for row in rows}) == 1


def test_a_closure_is_fetched_and_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (str(hello()), "hello.tar", "--cache", CACHE, "--trusted-key", KEY)
    for expected in ("6 of 6 store paths fetched", "0 of 6 store paths fetched"):
        run("fetch_and_build.py", *arguments, monkeypatch=monkeypatch)
        first, second = capsys.readouterr().out.splitlines()
        assert first == expected
        assert second.startswith("hello:")
    assert len(list((folder / "store").glob("*.narinfo"))) == 6


def test_an_error_ends_the_program_with_its_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"got only signatures of lamina-example-1(.|\n)*--trusted-key"):
        run("fetch_and_build.py", str(hello()), "hello.tar", "--cache", CACHE, monkeypatch=monkeypatch)


def test_a_program_decides_its_layers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("own_layering.py", "hello.tar", str(hello()), *STORE, monkeypatch=monkeypatch)
    name, small, root = capsys.readouterr().out.splitlines()
    assert name.split()[1] == find_id("hello.tar")
    assert small.count("-1.0") == 6
    assert root.endswith("the root")
