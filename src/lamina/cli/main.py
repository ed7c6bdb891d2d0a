"""Run the ``lamina`` command: find the verb and call it.

Invariant: only the verb that runs is imported; ``--version`` imports no verb, and not even click.
"""

from __future__ import annotations

import sys

import lamina


def main() -> None:
    """Run the command line and end the process with its exit code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]) and _print_version():
        sys.exit(0)
    from lamina.cli.exits import run_to_exit_code

    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    sys.exit(run_to_exit_code(lambda: _run(arguments), debug="--debug" in options, as_json="--json" in options))


def _print_version() -> bool:
    """Print the version and return whether that worked.

    If it did not work, the caller uses click, which reports the cause.
    """
    try:
        sys.stdout.write(f"lamina {lamina.__version__}\n")
        sys.stdout.flush()
    except (OSError, AttributeError, ValueError):
        return False
    return True


def _run(arguments: list[str]) -> None:
    import gc
    import os

    gc.disable()  # imports make hardly any garbage; `LazyGroup` turns the collector on for the command
    import click

    from lamina.cli.group import COMPLETION_VARIABLE, group

    if COMPLETION_VARIABLE in os.environ:
        from lamina.cli.completion import prepare_completion

        prepare_completion()
    try:
        group.main(arguments, prog_name="lamina", standalone_mode=False)
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        from lamina.cli.usage_errors import translate_usage_error

        raise translate_usage_error(error, arguments) from error
    finally:
        gc.enable()
