"""The help of commands: sections, examples, widths and colour."""

import os
import pty
import re
import subprocess
import sys

import click
import pytest
from tests.support.cli_parameters import leaf_commands
from tests.support.fake_nix_store import run

from lamina.cli.command import HelpContext, VerbCommand
from lamina.cli.group import group
from lamina.inputs.declarations import SECTIONS


def show_help(width: int, *words: str) -> str:
    """Return the help of a command on a terminal of ``width`` columns, without colour."""
    context: click.Context = HelpContext(group, info_name="lamina", max_content_width=width, terminal_width=width)
    for word in words:
        found = context.command
        assert isinstance(found, click.Group)
        inner = found.get_command(context, word)
        assert inner
        context = HelpContext(inner, parent=context, info_name=word, terminal_width=width)
    return click.unstyle(context.get_help())


def find_titles(text: str) -> list[str]:
    return re.findall(r"^(\S.*):$", text, re.MULTILINE)


def test_the_help_of_a_verb_is_a_sentence_examples_arguments_and_sections() -> None:
    text = show_help(80, "build")
    assert text.startswith("Usage: lamina build [OPTIONS] [ROOT]... -o FILE|DIR/\n\n  Build the image of ROOT... ")
    sections = [title for section, title in SECTIONS.items() if section]
    assert find_titles(text) == ["Examples", "Arguments", *sections]


def test_a_verb_has_only_the_sections_that_it_uses() -> None:
    assert "Scripts" not in find_titles(show_help(80, "plan"))
    assert "Speed" not in find_titles(show_help(80, "plan"))
    assert find_titles(show_help(80, "store", "ls")) == ["Examples", "Arguments", "Sources of store paths", "Output"]
    assert find_titles(show_help(80)) == ["Examples", "Verbs", "Options"]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("words", [("build",), ("store", "fetch"), ("store", "key"), ()])
def test_the_help_fits_the_terminal(width: int, words: tuple[str, ...]) -> None:
    lines = show_help(width, *words).splitlines()
    examples = {line for line in lines if line.startswith("  lamina ")}
    assert [line for line in lines if len(line) > width and line not in examples] == []
    assert not any(re.search(r"--[a-z-]*-$", line) for line in lines), "an option is broken"


def test_the_texts_of_all_sections_begin_in_one_column() -> None:
    lines = show_help(100, "stream").splitlines()
    rows = [found for line in lines if (found := re.match(r"  -{1,2}\S.*?\S  +(?=\S)", line))]
    assert len({found.end() for found in rows}) == 1


def test_every_option_and_argument_of_every_command_has_a_text_that_is_a_sentence() -> None:
    for names, command in leaf_commands(group):
        assert isinstance(command, VerbCommand), names
        assert command.examples, names
        for parameter in command.params:
            text = getattr(parameter, "help", None)
            assert text, (names, parameter.name)
            sentence = re.sub(r"  \[default: .*?\]", "", text)
            assert re.fullmatch(r"[A-Z-].*[.)]", sentence), (names, parameter.name, text)


def test_every_example_names_its_command_and_fits_80_columns() -> None:
    for names, command in leaf_commands(group):
        assert isinstance(command, VerbCommand)
        for example in command.examples:
            assert f"lamina {' '.join(names)}" in example
            assert len(example) <= 78, example


@pytest.mark.parametrize(
    ("variables", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_the_help_is_coloured_on_a_terminal_alone(variables: dict[str, str], is_coloured: bool) -> None:
    leader, follower = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-m", "lamina", "cache", "--help"],
        stdout=follower,
        env={**clean, "TERM": "xterm", **variables},
        check=True,
    )
    os.close(follower)
    shown = os.read(leader, 1 << 16)
    os.close(leader)
    assert (b"\x1b[1mCommands:\x1b[0m" in shown) == is_coloured
    assert (b"\x1b" in shown) == is_coloured


def test_an_option_that_may_be_repeated_says_so() -> None:
    text = re.sub(r"\s+", " ", show_help(80, "stream"))
    assert "--env K=V Set a variable of the environment (Env). [repeatable]" in text
    assert "then the embedded store; repeatable]" in text


def test_help_into_a_pipe_is_plain() -> None:
    assert b"\x1b" not in run("stream", "--help").stdout
