"""What shells are offered: verbs, options and the values of options. Real shells are in tests/integration."""

import re

import click
import pytest
from tests.support.cli_parameters import leaf_commands
from tests.support.fake_nix_store import run

from lamina.cli.completion import FishWords, ZshWords
from lamina.cli.group import COMPLETION_VARIABLE, group


def complete(line: str) -> list[tuple[str, str]]:
    """Return the type and the value of each completion of the last word of ``line``."""
    *words, incomplete = line.split(" ")
    found = ZshWords(group, {}, "lamina", COMPLETION_VARIABLE).get_completions(words, incomplete)
    return [(item.type, item.value) for item in found]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("str", ["stream"]),
        ("store k", ["key"]),
        ("store key ", ["generate", "public"]),
        ("help store s", ["sign"]),
        ("help stream ", []),
        ("completion ", ["bash", "zsh", "fish"]),
        ("build --max-", ["--max-unpacked-size", "--max-layers"]),
        ("build --led", []),
        ("plan --extra", []),
        ("build --with ", ["nss", "certs", "sh", "env", "tmp"]),
        ("build --with nss,c", ["nss,certs"]),
        ("build --layering p", ["popularity", "pinned:"]),
        ("build --layer-compression=g", ["--layer-compression=gzip"]),
    ],
)
def test_texts_are_offered(line: str, values: list[str]) -> None:
    assert complete(line) == [("plain", value) for value in values]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("stream ./re", "file"),
        ("inspect x", "file"),
        ("build -o x", "file"),
        ("build --layering ./x", "file"),
        ("stream --spec x", "file"),
        ("store ls --store x", "dir"),
        ("store key public x", "file"),
    ],
)
def test_files_and_folders_are_offered(line: str, kind: str) -> None:
    assert complete(line) == [(kind, line.rpartition(" ")[2])]


def test_every_option_for_a_file_or_folder_is_completed() -> None:
    for names, command in leaf_commands(group):
        for parameter in command.params:
            if parameter.metavar and parameter.metavar.startswith(("FILE", "FOLDER", "IMAGE")):
                assert parameter._custom_shell_complete, (names, parameter.name)


def test_nothing_that_the_help_hides_is_offered() -> None:
    """Old names of options and old values, such as ``--progress plain``, work, but are not for new scripts."""
    for names, command in leaf_commands(group):
        options = [each for each in command.params if isinstance(each, click.Option)]
        hidden = {name for option in options if option.hidden for name in option.opts}
        assert not hidden & {value for _, value in complete(" ".join([*names, "--"]))}, names
        for choice in (option for option in options if isinstance(option.type, click.Choice)):
            shown = re.split(r"\W+", choice.make_metavar(click.Context(command)))
            offered = [value for _, value in complete(" ".join([*names, choice.opts[0], ""]))]
            assert offered
            assert set(offered) <= set(shown), choice.opts


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_command_and_the_variable(shell: str) -> None:
    ran = run("completion", shell)
    assert (ran.code, ran.stderr) == (0, "")
    assert b"lamina" in ran.stdout
    assert f"{COMPLETION_VARIABLE}={shell}_complete".encode() in ran.stdout


def test_clicks_scripts_are_mended() -> None:
    """A new version of click may have other scripts, in which the mended line must be found again."""
    assert "compset -P 1 '*='" in ZshWords.source_template
    assert 'string split --max 1 ","' in FishWords.source_template


def test_another_shell_is_refused() -> None:
    ran = run("completion", "tcsh")
    assert ran.code == 2
    assert "'tcsh', expected one of bash, zsh, fish" in ran.error
