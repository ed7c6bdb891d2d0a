"""The ``lamina`` command: finds the verb and runs it.

Invariant: no verb is imported but the one that runs, and none for ``--version``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import lamina
from lamina.cli.ending import ending

if TYPE_CHECKING:
    import click


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"lamina {lamina.__version__}")
        sys.exit(0)
    sys.exit(ending(lambda: _run(arguments), debug="--debug" in arguments))


def _run(arguments: list[str]) -> None:
    import click

    from lamina.cli.group import group
    from lamina.errors import InvalidName

    try:
        group.main(arguments, prog_name="lamina", standalone_mode=False)
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        raise InvalidName(_usage(error), hint=_help(error)) from error


def _usage(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    return f"usage: {text[:1].lower()}{text[1:]}"


def _help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'lamina'} --help"


if __name__ == "__main__":
    main()
