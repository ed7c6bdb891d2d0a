"""The commands and options in the docs exist, and the Python of some pages runs without a shell.

The blocks of all pages run in `tests/integration/test_docs_commands.py`; here are those that the inner loop runs too.
"""

import inspect
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from tests.support.cli_parameters import leaf_commands
from tests.support.doc_blocks import list_pages
from tests.support.example_store import CACHE, KEY, example_store, hello
from tests.support.paths import REPOSITORY

import lamina
from lamina.cli.group import group
from lamina.stores import open as opening

PAGES = [REPOSITORY / page for page in list_pages() if page != "CHANGELOG.md"]

# Options of other programs that the pages name.
_FOREIGN_OPTIONS = {
    "--add",
    "--check-contents",
    "--engine",
    "--export",
    "--format",
    "--json-format",
    "--key-file",
    "--nthreads",
    "--seed",
    "--slow-pairs",
}


def find_commands(page: str) -> Iterator[list[str]]:
    """Yield the words of every lamina command in the blocks of shell and console of ``page``."""
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", page, re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            found = re.search(r"(?:^|\$ |\| )lamina (.*)", line)
            if found:
                lexer = shlex.shlex(re.sub(r"\s#.*", "", found[1]), posix=True, punctuation_chars="|;&")
                lexer.whitespace_split = True
                lexer.commenters = ""
                yield list(itertools.takewhile(lambda word: word not in "|;&", lexer))


COMMANDS = [(page.name, words) for page in PAGES for words in find_commands(page.read_text())]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: " ".join(value)[:60])
def test_the_options_of_every_command_in_the_docs_exist(page: str, words: list[str]) -> None:
    command: click.Command = group
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found, f"{page}: lamina has no such verb"
        command = found
    command.make_context(command.name, words)


def find_inline_commands(page: str) -> Iterator[str]:
    """Yield the lamina commands in the text of ``page``, which may have placeholders such as ``ROOT…``."""
    text = re.sub(r"^ *```.*?^ *```", "", page, flags=re.MULTILINE | re.DOTALL)
    for command in re.findall(r"`lamina (\w[^`]*)`", text):
        yield re.split(r" [|÷]", re.sub(r"\s+", " ", command))[0]


INLINE = sorted({(page.name, one) for page in PAGES for one in find_inline_commands(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize(("page", "text"), INLINE, ids=lambda value: value[:60])
def test_the_verb_and_the_options_of_every_command_in_a_sentence_exist(page: str, text: str) -> None:
    command: click.Command = group
    words = text.split()
    while isinstance(command, click.Group) and words and words[0].islower() and words[0] not in ("…", "-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found, f"{page}: {text}: lamina has no such verb"
        command = found
    own = words[: words.index("--")] if "--" in words else words
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    named = {option for word in own if (option := re.match(r"\[?(--[a-z][\w-]*|-[a-z]\b)", word))}
    assert {option[1] for option in named} - options - {"--help"} == set(), f"{page}: {text}"


def test_every_option_that_the_docs_name_exists() -> None:
    known = {option for _, command in leaf_commands(group) for each in command.params for option in each.opts}
    known |= {"--help", "--version", "--debug", *_FOREIGN_OPTIONS}
    for page in PAGES:
        named = set(re.findall(r"`(--[\w-]+)", page.read_text()))
        assert named - known == set(), page


def test_the_python_of_the_page_about_stores_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/stores.md").read_text(), re.DOTALL)
    for written, given in {
        "/nix/store/…-hello-2.12.1": str(hello()),
        "https://cache.example": CACHE,
        "cache.example-1:…": KEY,
    }.items():
        assert written in block
        block = block.replace(written, given)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/stores.md", "exec"), {})
    assert (tmp_path / "hello.tar.gz").stat().st_size
    assert list((tmp_path / "store").glob("*.narinfo"))


def test_the_command_the_spec_and_the_python_of_the_page_about_arguments_build_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (REPOSITORY / "docs/arguments.md").read_text()
    example_store(tmp_path / "machine")
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "machine")
    monkeypatch.chdir(tmp_path)
    command, *_ = find_commands(page)
    spec, python, *_ = (re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[0] for language in ("toml", "python"))
    Path("lamina.toml").write_text(spec)

    images = set()
    with_spec = shlex.split(spec.splitlines()[0].removeprefix("# lamina "))
    for words in (command, with_spec):
        assert CliRunner().invoke(group, words, catch_exceptions=False).exit_code == 0
        images.add(lamina.inspect("hello.tar.gz")[0].id)
    exec(compile(python, "docs/arguments.md", "exec"), {})
    images.add(lamina.inspect("hello.tar.gz")[0].id)
    assert len(images) == 1


LIBRARY = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/library.md").read_text(), re.DOTALL)


def test_the_python_of_the_page_about_the_library_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks run one after the other in one folder; ``cat`` takes the place of the engine."""
    example_store(tmp_path / "machine")
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "machine")
    monkeypatch.chdir(tmp_path)
    for block in LIBRARY:
        runnable = block.replace('["docker", "load"]', '["cat"], stdout=subprocess.DEVNULL')
        for written, given in {
            "/nix/store/…-hello-2.12.1": str(hello()),
            "https://cache.example": CACHE,
            "cache.example-1:…": KEY,
        }.items():
            runnable = runnable.replace(written, given)
        exec(compile(runnable, "docs/library.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "6 of 6 paths fetched" in printed
    assert "no-such-package" in printed
    assert "bytes in 0 layers are sent" in printed
    assert len(LIBRARY) == 10


def test_the_main_job_takes_four_lines_of_public_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in LIBRARY if "Closure" in block]
    example_store(tmp_path / "machine")
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "machine")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/library.md", "exec"), names)
    assert len(names["image"].layers) == 7
    assert Path("hello.tar").read_bytes().endswith(bytes(1024))
    assert len(block[block.index("closure =") :].splitlines()) == 4
    assert not re.findall(r"(?:from|import) lamina\.", block)


def _mask(text: str) -> list[str]:
    """Return the lines of ``text`` without what differs from run to run and from machine to machine."""
    return re.sub(r"sha256:\w+  linux/\w+|[0-9.]+ m?s$", "…", text, flags=re.MULTILINE).splitlines()


def test_the_page_of_common_tasks_shows_what_a_build_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (REPOSITORY / "docs/usage.md").read_text()
    (block,) = re.findall(r"```console\n(\$ lamina build .*?)```", page, re.DOTALL)
    command, *shown = _mask(block)
    example_store(tmp_path / "machine")
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "machine")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(group, shlex.split(command.removeprefix("$ lamina ")), catch_exceptions=False)
    printed = _mask(result.output)
    assert [line for line in printed if line in shown] == [line for line in shown if line != "…"]
    assert len(printed) == 9


def test_the_page_about_the_library_names_everything_that_reports_progress() -> None:
    page = (REPOSITORY / "docs/library.md").read_text()
    (listed,) = re.findall(r"All of these take `progress=`: (.*?)\.\n\n", page, re.DOTALL)
    functions = {name: getattr(lamina, name) for name in dir(lamina)}
    for stream in (lamina.Stream, lamina.IndexStream):
        members = {name: one for name, one in vars(stream).items() if not name.startswith("_")}
        functions |= {f"{stream.__name__}.{name}": one for name, one in members.items()}
    taking = {
        name
        for name, one in functions.items()
        if inspect.isfunction(one) and "progress" in inspect.signature(one).parameters
    }
    assert {*re.findall(r"`([\w.]+)`", listed)} == taking
