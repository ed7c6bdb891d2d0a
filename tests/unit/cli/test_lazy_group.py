"""A group of commands imports only the one that runs."""

import subprocess
import sys

import click
import pytest
from tests.support.fake_nix_store import run

from lamina.cli.group import group
from lamina.cli.lazy_group import LazyGroup


def test_every_command_of_the_help_can_be_imported() -> None:
    context = click.Context(group)
    names = group.list_commands(context)
    assert "build" in names
    for name in names:
        assert group.get_command(context, name)
    assert group.get_command(context, "nothing") is None


def test_a_name_that_is_a_keyword_has_a_module() -> None:
    store = group.get_command(click.Context(group), "store")
    assert isinstance(store, LazyGroup)
    command = store.get_command(click.Context(store), "import")
    assert command
    assert command.callback


def test_help_lists_the_commands_without_their_modules() -> None:
    code = (
        "import sys\nfrom lamina.cli.group import group\n"
        "try:\n  group(['--help'])\nexcept SystemExit:\n  pass\n"
        "print([name for name in ('build', 'merge') if f'lamina.cli.{name}' in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert any(line.strip().startswith("merge ") for line in lines)
    assert lines[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ([], "got no verb, expected one of stream, build, ", "lamina --help"),
        (["hello"], "usage: got verb 'hello', expected one of stream, build, ", "lamina --help"),
        (["strem"], "usage: got verb 'strem', expected one of stream, build, ", "did you mean stream?"),
        (["store", "ftch"], "usage: got command 'ftch', expected one of fetch, add, ", "did you mean fetch?"),
        (["store", "key", "publik"], "got command 'publik', expected one of generate, public", "did you mean public?"),
        (["help", "pln"], "usage: got verb 'pln', expected one of stream, build, ", "did you mean plan?"),
    ],
)
def test_a_missing_or_unknown_command_is_an_error_that_lists_them(words: list[str], error: str, hint: str) -> None:
    ran = run(*words)
    assert (ran.code, ran.stdout) == (2, b"")
    assert error in ran.error
    assert f"hint: {hint}\n" in ran.stderr
