"""A group of commands imports only the one that runs."""

import subprocess
import sys

import click
import pytest

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


@pytest.mark.parametrize(("words", "message"), [([], "got no verb"), (["hello"], "got verb 'hello', expected one of")])
def test_a_missing_or_unknown_command_is_an_error_that_lists_them(words: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message) as caught:
        group.main(words, standalone_mode=False)
    assert "build" in caught.value.message
