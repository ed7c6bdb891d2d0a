"""Errors about the command line: what was wrong, and which options there are."""

import json

import pytest
from tests.support.cli_parameters import leaf_commands
from tests.support.fake_nix_store import run

from lamina.cli.group import group


@pytest.mark.parametrize(
    ("words", "option", "command", "hint"),
    [
        (["build", "--ouput", "x"], "--ouput", "lamina build", "did you mean --output?"),
        (["build", "--out", "x"], "--out", "lamina build", "did you mean --output?"),
        (["stream", "--out", "x"], "--out", "lamina stream", "lamina stream --help"),
        (["stream", "--max-layer=3"], "--max-layer", "lamina stream", "did you mean --max-layers?"),
        (["store", "ls", "--quite"], "--quite", "lamina store ls", "did you mean --quiet?"),
        (["stream", "--ledgr", "x"], "--ledgr", "lamina stream", "lamina stream --help"),
        (["--vrsion"], "--vrsion", "lamina", "did you mean --version?"),
    ],
)
def test_an_option_that_nothing_has_is_answered_with_near_ones(
    words: list[str], option: str, command: str, hint: str
) -> None:
    ran = run(*words)
    assert (ran.code, ran.error) == (2, f"usage: got option {option}, expected an option of {command}")
    assert ran.stderr.splitlines()[1:] == [f"hint: {hint}"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["plan", "hello", "--extra-commands", "x"], "lamina stream, build, script, push, load and run take it"),
        (["plan", "hello", "--perm", "/x:600"], "lamina stream, build, script, push, load and run take it"),
        (
            ["plan", "hello", "--jobs", "2"],
            "lamina stream, build, push, load, run, batch, serve, store fetch",
        ),
        (
            ["script", "hello", "--layer-compression", "zstd"],
            "lamina stream, build, push, load, run, batch, serve and merge take it",
        ),
        (["stream", "hello", "--compressor", "gz"], "lamina build, pull, merge and export take it"),
        (["cache", "info", "--progress", "plain"], "commands such as lamina stream take it"),
        (["store", "ls", "--repair"], "lamina store verify takes it"),
    ],
)
def test_an_option_that_a_command_ignores_is_an_error_that_names_those_that_take_it(
    words: list[str], hint: str
) -> None:
    ran = run(*words)
    option = next(word for word in words if word.startswith("--"))
    command = " ".join(words[: words.index(option)]).removesuffix(" hello")
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.error == f"{option}: got an option that lamina {command} does not use, expected one of its own"
    assert ran.stderr.splitlines()[1].startswith(f"hint: {hint}")


def test_every_command_takes_the_options_for_its_messages() -> None:
    for names, command in leaf_commands(group):
        options = {name for parameter in command.params for name in parameter.opts}
        if names[0] not in ("help", "completion"):
            assert {"--quiet", "-q", "--debug"} <= options, names
            assert ("--json" in options) == (names[0] != "serve"), names  # a server has no result
            assert ("--verbose" in options) == ("-v" in options)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["build", "hello"], "-o / --output: got none, expected one"),
        (["inspect"], "IMAGE[#NAME]: got none, expected one"),
        (["inspect", "a", "b"], "'b': got one argument more, expected nothing after IMAGE[#NAME]"),
        (["stream", "--max-layers"], "--max-layers: got no value, expected one"),
        (["stream", "--json=x"], "--json: got a value, expected none"),
        (["stream", "--max-layers", "x"], "--max-layers: got 'x', expected a whole number"),
        (["build", "x", "-o"], "-o: got no value, expected one\nhint: lamina build --help"),
        (["plan", "--quiet=1"], "--quiet: got a value, expected none\nhint: lamina plan --help"),
        (["build", "x", "--progress", "nis"], "one of auto, bars, lines, nix\nhint: did you mean nix?"),
        (["build", "x", "--compressor", "gzip"], "--compressor: got 'gzip', expected one of none, gz, zstd\nhint: did"),
        (["plan", "x", "--architecture", "amd46"], "hint: did you mean amd64?"),
        (["store"], "usage: got no command, expected one of "),
        (["completion", "bash", "x"], "'x': got one argument more, expected nothing after "),
    ],
)
def test_other_errors_name_the_parameter_and_the_help(words: list[str], error: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert error in ran.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--json", "plan", "hello"], "write it after the command: lamina plan --json"),
        (["store", "--quiet", "ls"], "write it after the command: lamina store ls --quiet"),
        (["--max-layers", "5", "plan", "hello"], "write it after the command: lamina plan --max-layers"),
        (["-v"], "write it after the command: lamina stream -v"),
        (["--dry-run", "store", "gc"], "write it after the command: lamina store gc --dry-run"),
    ],
)
def test_an_option_before_its_command_belongs_after_it(words: list[str], hint: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert json.dumps(hint).strip('"') in ran.stderr or hint in ran.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["store", "fetch", "x", "-o", "y"], "did you mean --to?"),
        (["store", "ls", "--to", "y"], "did you mean --store?"),
        (["store", "gc", "--keep", "x"], "name what to keep as ROOT, such as lamina store gc hello"),
        (["cache", "clean", "--dry-run"], "lamina cache info shows what is there"),
        (["ls"], "did you mean lamina store ls?"),
        (["fetch", "x"], "did you mean lamina store fetch?"),
        (["prune"], "did you mean lamina layout prune or lamina cache prune?"),
        (["biuld"], "did you mean build?"),
    ],
)
def test_another_name_for_the_same_is_answered_with_that_of_the_command(words: list[str], hint: str) -> None:
    ran = run(*words)
    assert (ran.code, ran.stderr.splitlines()[1:]) == (2, [f"hint: {hint}"])


def test_a_hint_names_the_first_of_many_commands() -> None:
    assert run("help", "--quiet").stderr.splitlines()[-1] == "hint: commands such as lamina stream take it"
